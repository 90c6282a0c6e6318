"""The article: what it says of known results, how it is written, and what is refused."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from experiments import METRICS, run_folder, write_experiment, write_grid
from matplotlib.figure import Figure as MatplotlibFigure
from score_sets import change_card, score_set, write

from ddecli.core.errors import UserError
from ddecli.document.blocks import (
    Contents,
    Document,
    Figure,
    Grid,
    Heading,
    Span,
    bullets,
    code,
    grid,
    heading,
    paragraph,
    strong,
)
from ddecli.document.html import to_html
from ddecli.document.markdown import to_markdown
from ddecli.document.pdf import to_typst, write_pdf
from ddecli.figures.save import save_figure
from ddecli.reproduction.article.article import article
from ddecli.reproduction.article.findings import find
from ddecli.reproduction.article.words import bounds, decimals, signed, with_bounds
from ddecli.reproduction.article.write import write_report
from ddecli.reproduction.claims.verdicts import NOT_MEASURED, NOT_REPRODUCED, REPRODUCED
from ddecli.reproduction.experiment import read_experiment
from ddecli.stats.intervals import Interval
from ddecli.tables.build import score_table
from ddecli.tuning.grid import grid_warnings, load_grid


def coefficients(model):
    assert model == "tiny"
    return np.geomspace(0.001, 200, 1000)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("experiment"))


@pytest.fixture(scope="module")
def findings(experiment):
    return find(read_experiment(experiment), coefficients)


@pytest.fixture(scope="module")
def markdown(findings):
    return to_markdown(article(findings))


def changed(experiment, **changes):
    """The same experiment described otherwise."""
    described = yaml.safe_load(experiment.read_text()) | changes
    other = experiment.with_name("changed.yaml")
    other.write_text(yaml.safe_dump(described))
    return other


def test_verdicts_of_known_results(findings):
    verdicts = {each.claim.key: each.outcome.verdict for each in findings.judged}
    assert verdicts["dde-improves-sd15"] == REPRODUCED
    assert verdicts["coefficients-rise"] == REPRODUCED
    assert verdicts["inception-sd15"] == REPRODUCED
    assert verdicts["middle-prioritized"] == NOT_REPRODUCED
    assert verdicts["dde-surpasses-sd15"] == verdicts["dde-improves-sdxl"] == NOT_MEASURED
    assert sum(findings.counts.values()) == len(verdicts)


def test_scorers_that_rise_while_the_truth_falls_are_named(findings, markdown):
    effects = {each.row: each for each in findings.effects["tiny"]}
    assert effects["uniform"].risen == ["clip", "hps", "pickscore"]
    assert effects["uniform"].fooled == "falls"
    assert effects["dde"].fooled == ""
    assert effects["dde"].changes["diversity"].falls
    assert "Uni: CLIP, HPS and PS up, truth falls." in markdown
    assert "scorers may have been fooled: they rise with Uni, while the hidden utility falls." in markdown


def test_what_has_changed_is_listed_where_the_experiment_says_it(experiment, markdown):
    assert "What has changed" not in markdown
    described = read_experiment(
        changed(experiment, changes=["Six trainings, not *three*.", "Another world."])
    )
    section = to_markdown(article(find(described, coefficients))).split("## 3. What has changed")[1]
    assert section.startswith("\n\n- Six trainings, not \\*three\\*.\n- Another world.\n\n<a id=")


def test_the_abstract_counts_what_the_claims_say(findings, markdown):
    abstract = markdown.split("**All claims that were measured.**")[0]
    for verdict, number in findings.counts.items():
        verb = "is" if number == 1 else "are"
        assert (f"**{number}** {verb} **{verdict}**." in abstract) == (verdict != NOT_MEASURED)
    assert "The paper has +6.7 %, +3.9 %, +3.3 % for SD15." in abstract
    assert "DDE prioritizes the middle of the trajectory" in abstract.split("Not reproduced:")[1]
    dde = findings.evidence.models["tiny"].rows("clip")
    gain = 100 * (dde["dde"].mean / dde["base"].mean - 1)
    assert f"DDE beside tiny, over 3 trainings and 30 prompts: CLIP (+{gain:.1f} %), HPS (" in abstract


def test_claims_that_lack_something_are_a_line_not_a_section(findings, markdown):
    lacking = [each for each in findings.judged if each.outcome.verdict == NOT_MEASURED]
    assert len(lacking) + len(findings.measured) == len(findings.judged)
    for each in lacking:
        assert f'<a id="{each.claim.key}"></a>' not in markdown
        assert each.claim.quote not in markdown or each.claim.quote in [
            c.claim.quote for _, c in findings.measured
        ]
    section = markdown.split("### Not measured")[1].split("###")[0]
    assert "- No model stands for SDXL: claims 3, 4 and 26 of the paper.\n" in section
    assert "- No scores of SFT, Disc: claims 2 and 6 of the paper.\n" in section


def test_every_measured_claim_has_a_section_with_its_numbers(findings, markdown):
    for number, each in findings.measured:
        section = markdown.split(f'<a id="{each.claim.key}"></a>')[1].split("<a id=")[0]
        assert f"### {number}. {each.claim.title}: **{each.outcome.verdict}**" in section
        assert each.claim.quote in section
        for comparison in each.outcome.comparisons:
            assert section.count(comparison.label.replace("|", r"\|")) >= 1
            assert f"**{comparison.answer}**" in section


def test_setup_and_provenance_come_from_the_runs(markdown):
    assert "| DDE | 20 | 3e-05 | 8 | 16 | 0, 1, 2 | 80 % | 1 min 30 s |" in markdown
    assert "Training took 3 min 0 s in all, over 6 runs" in markdown
    assert "a training saw 128 pairs; the paper's saw 4,096,000. That is 1/32,000 of it." in markdown
    assert "30 prompts with 2 images each and over 1 to 3 trainings" in markdown
    assert "The tiny world is drawn" in markdown


def test_the_page_begins_with_version_and_dates(markdown):
    said = "*Made with ddecli 1, trainings of 2026-11-28 to 2026-11-29.*"
    assert markdown.split("\n\n")[1] == said


def test_cautions_are_found(findings):
    text = " ".join(findings.cautions)
    assert "edge of the grid" in text and "dde: beta 20" in text
    assert "the grid has no trials of Uni" in text
    assert "trainings of seed 0 are reported that beta and learning rates were chosen by" in text
    assert "fewer than 3 trainings of 0-0.1" in text
    assert "share a seed" not in text
    assert "same weights" not in text


def test_more_cautions(tmp_path):
    file = write_experiment(tmp_path)
    described = yaml.safe_load(file.read_text())
    model = described["models"]["tiny"]
    model["runs"]["dde"][1] = str(run_folder(tmp_path / "again", 0, "dde", steps=9, beta=80.0))
    described["grid"] = {"tiny": str(tmp_path / "chosen.json")}
    gains = {("dde", 20.0): 0.1, ("uniform", 20.0): 0.1}
    write_grid(tmp_path / "chosen.json", gains, 3e-5, prompts_sha256="ab12", num_prompts=30)
    for name in ("base-0", "dde-0"):
        model_of = {"name": name, "unet_sha256": "cd34"}
        change_card(
            tmp_path / "images" / name, lambda card, model=model_of: card["protocol"].update(model=model)
        )
    file.write_text(yaml.safe_dump(described))
    text = " ".join(find(read_experiment(file), coefficients).cautions)
    assert "are those that beta and learning rates were chosen on" in text
    assert "unequal budgets (DDE and Uni 8 steps of 16; DDE 9 steps of 16)" in text
    assert "tiny and DDE were sampled from the same weights" in text
    assert "share a seed (DDE)" in text
    assert "DDE beta 20 and 80 instead of 20" in text
    assert "the trials of the grid had steps 8, the reported trainings 8, 9." in text


def test_grid_warnings_are_silent_where_all_is_well(tmp_path):
    gains = {("dde", beta): -abs(beta - 20) for beta in (5.0, 20.0, 80.0)}
    write_grid(tmp_path / "grid.json", gains, lr=1e-5)
    settings = {"loss": "dde", "beta": 20.0, "lr": 1e-5, "steps": 8}
    assert grid_warnings(load_grid(tmp_path / "grid.json"), {"DDE": [settings]}) == []


def test_tables_read_back_are_the_tables(experiment, findings):
    sets = findings.evidence.models["tiny"].scores
    built = score_table(2, {"tiny": sets["base"], "Uni": sets["uniform"], "DDE": sets["dde"]})
    assert findings.tables[2] == built


class Reader(HTMLParser):
    """Checks that every element is closed in its turn, and collects text and picture sources."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.text, self.cells = [], [], [], 0
        self.links, self.marks = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value.removeprefix("#") for name, value in attrs if name == "href"]
        self.marks += [value for name, value in attrs if name == "id"]
        if tag == "img":
            self.sources.append(dict(attrs)["src"])
        elif tag != "meta":
            self.open.append(tag)
            self.cells += tag == "td"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_html_is_whole_and_holds_its_pictures(experiment, findings):
    document = article(findings)
    reader = Reader()
    page = to_html(document, experiment.parent / "paper")
    reader.feed(page)
    assert reader.open == []
    assert len(reader.sources) == 1 and reader.sources[0].startswith("data:image/png;base64,")
    assert "DDE_by hand: 3 < 4 & *so* on" in "".join(reader.text)
    grids = [block for block in document.blocks if isinstance(block, Grid)]
    assert reader.cells == sum(len(row) for block in grids for row in block.rows)
    titles = [each.claim.key for _, each in findings.measured]
    assert set(titles) <= set(reader.links) and set(reader.links) == set(reader.marks)
    assert len(reader.marks) == len(set(reader.marks)) == len(titles) + len(document.sections)
    for outside in ("<script", "http://", "https://", 'src="figures'):
        assert outside not in page


ODD = 'a|b *c* _d_ `e` <f> [g](h) # $i$ \\j @k "l" #text(m) ~n~ é – ]'


def odd_document():
    return Document(
        ODD,
        (
            heading(1, ODD),
            paragraph([strong(ODD), ODD, code(ODD)]),
            paragraph(ODD, "quote"),
            paragraph(ODD, "caution"),
            bullets([ODD, [strong(ODD)]]),
            grid([ODD, "b"], [[ODD, code(ODD)]], ODD),
        ),
    )


def test_odd_letters_survive_every_format(tmp_path):
    from markdown_it import MarkdownIt

    document = odd_document()
    reader = Reader()
    reader.feed(to_html(document, tmp_path))
    assert "".join(reader.text).count(ODD) == 13
    rendered = Reader()
    rendered.feed(
        MarkdownIt("commonmark").enable("table").enable("strikethrough").render(to_markdown(document))
    )
    assert "".join(rendered.text).count(ODD) == 12  # all but the title of the page


def test_odd_letters_reach_the_pdf(tmp_path):
    pytest.importorskip("typst")
    write_pdf(odd_document(), tmp_path, tmp_path / "odd.pdf")
    assert (tmp_path / "odd.pdf").read_bytes().startswith(b"%PDF")
    assert to_typst(odd_document(), tmp_path).count('\\\\j @k \\"l\\" #text(m)') == 13


def test_wide_tables_are_set_small_and_long_ones_may_break(tmp_path):
    pytest.importorskip("typst")
    wide = grid([str(n) for n in range(9)], [["x"] * 9] * 60, "c")
    source = to_typst(Document("t", (wide, grid(["a"], [["b"]]))), tmp_path)
    assert "7pt" in source and "8.4pt" in source
    write_pdf(Document("t", (wide, Heading(2, ()))), tmp_path, tmp_path / "wide.pdf")


def test_pdf_of_the_article(experiment, findings, tmp_path):
    pytest.importorskip("typst")
    write_pdf(article(findings), experiment.parent / "paper", tmp_path / "a.pdf")
    first = (tmp_path / "a.pdf").read_bytes()
    write_pdf(article(findings), experiment.parent / "paper", tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == first


def test_of_a_picture_that_was_drawn_as_pdf_too_that_is_printed_at_its_size(tmp_path):
    pytest.importorskip("typst")
    numbers = {"colour": "#123456"}
    for name in ("both", "pixels"):
        save_figure(tmp_path / name, numbers, lambda _: MatplotlibFigure(figsize=(3.4, 2)))
    (tmp_path / "pixels.pdf").unlink()
    document = Document("t", tuple(Figure(Path(f"{name}.png"), ()) for name in ("both", "pixels")))
    source = to_typst(document, tmp_path)
    assert 'picture("/both.pdf")' in source and 'picture("/pixels.png")' in source
    write_pdf(document, tmp_path, tmp_path / "whole.pdf")
    assert (tmp_path / "whole.pdf").read_bytes().count(
        b"/Subtype /Image"
    ) <= 1  # an empty one may be left out


def test_a_number_is_not_parted_from_its_per_cent_sign(tmp_path):
    document = Document("t", (paragraph("from 20 % to % of 30 %."),))
    parted = "from 20\u00a0% to % of 30\u00a0%."
    assert parted in to_html(document, tmp_path) and parted in to_typst(document, tmp_path)
    assert to_markdown(document) == "from 20 % to % of 30 %.\n"


def test_every_format_leads_from_a_link_to_its_mark(tmp_path):
    blocks = (heading(1, "t"), Contents(), heading(2, "1. A_b", "a-b"), grid([""], [[Span("x", link="a-b")]]))
    document = Document("t", blocks)
    assert to_markdown(document).count("](#a-b)") == 2 and '<a id="a-b"></a>' in to_markdown(document)
    assert to_html(document, tmp_path).count('<a href="#a-b">') == 2
    assert 'link(label("a-b"), text("x"))' in to_typst(document, tmp_path)
    pytest.importorskip("typst")
    write_pdf(document, tmp_path, tmp_path / "a.pdf")
    written = (tmp_path / "a.pdf").read_bytes()
    with pytest.raises(UserError, match="cannot be typeset"):  # a link that leads nowhere
        write_pdf(Document("t", blocks[3:]), tmp_path, tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes() == written


def test_a_picture_that_typst_cannot_read_is_named(tmp_path):
    pytest.importorskip("typst")
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be typeset"):
        write_pdf(Document("t", (Figure(Path("x.png"), ()),)), tmp_path, tmp_path / "x.pdf")


@pytest.mark.parametrize(
    ("value", "interval", "written"),
    [
        (0.01234, (0.0021, 0.0225), "+0.012 [0.002, 0.022]"),
        (-12.3456, (-20.1, -4.9), "−12.3 [−20.1, −4.9]"),
        (-0.0004, (-0.02, 0.02), "0.000 [−0.020, 0.020]"),
        (1234.5, None, "+1234"),
    ],
)
def test_numbers_are_written_as_precisely_as_they_are_known(value, interval, written):
    assert with_bounds(value, interval and Interval(*interval)) == written


def test_exact_and_missing_intervals():
    assert bounds(Interval(2, 2), 1) == "exact"
    assert bounds(None, 1) == "–"
    assert decimals(0.0, None) == 3
    assert signed(-0.0001, 2) == "0.00"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "extra is no known key"),
        ({"models": {"tiny": {"paper": "SD15", "scores": {"dde": ["x"]}}}}, "base must be there"),
        ({"models": {"tiny": {"paper": "SD16", "scores": {}}}}, "paper"),
        ({"models": {}}, "models"),
        ({"tables": {5: "x"}}, "tables"),
        ({"grid": {"other": "x"}}, "no model of the experiment"),
    ],
)
def test_descriptions_that_cannot_be_used(experiment, change, message):
    with pytest.raises(UserError, match=message) as error:
        read_experiment(changed(experiment, **change))
    assert str(error.value).count("\n") == 0


def test_folders_of_another_method_are_refused(tmp_path):
    file = write_experiment(tmp_path)
    described = yaml.safe_load(file.read_text())
    runs = described["models"]["tiny"]["runs"]
    runs["uniform"][0] = runs["dde"][0]
    file.write_text(yaml.safe_dump(described))
    with pytest.raises(UserError, match="listed under uniform, but was trained with the loss dde"):
        find(read_experiment(file), coefficients)
    run = run_folder(tmp_path / "segment", 0, "uniform", segment="0.3-0.4")
    values = {metric: np.ones((30, 2)) for metric in METRICS}
    folder = write(score_set("s", values, str(run), num_prompts=30), tmp_path / "s")
    described["models"]["tiny"] |= {"runs": {}, "segments": {"0-0.1": [str(folder)]}}
    file.write_text(yaml.safe_dump(described))
    with pytest.raises(UserError, match=r"listed under 0-0\.1, but was trained on the segment 0\.3-0\.4"):
        find(read_experiment(file), coefficients)


def test_damaged_inputs_are_named(experiment, tmp_path):
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    for change, message in (
        (
            {"tables": {2: str(bad)}},
            r"bad\.json is damaged .*number: field required.*; build it again with `ddecli table 2",
        ),
        ({"grid": str(bad)}, r"bad\.json is damaged .*; give the --out of `ddecli choose`"),
    ):
        with pytest.raises(UserError, match=message):
            find(read_experiment(changed(experiment, **change)), coefficients)
    with pytest.raises(UserError, match=r"is table 2, not 3"):
        table = {3: str(experiment.parent / "table2.json")}
        find(read_experiment(changed(experiment, tables=table)), coefficients)
    figures = [{"file": "figures/none.png", "title": "x"}]
    with pytest.raises(UserError, match=r"none\.png does not exist"):
        write_report(changed(experiment, figures=figures), experiment.parent / "paper", coefficients)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("beta: 20.0", "beta: field required"),
        ("seed: 0", "seed: field required"),
        ("loss: dde", "loss: field required"),
        ("lr: 3.0e-05", "lr: field required"),
    ],
)
def test_a_run_without_a_setting_is_named(tmp_path, line, said):
    file = write_experiment(tmp_path)
    settings = tmp_path / "runs" / "dde-0" / "run.yaml"
    assert f"{line}\n" in settings.read_text()
    settings.write_text(settings.read_text().replace(f"{line}\n", ""))
    with pytest.raises(UserError, match=rf"dde-0/run\.yaml is damaged \({said}\): train the run again"):
        find(read_experiment(file), coefficients)


def test_a_schedule_that_cannot_be_had_leaves_its_claims_unmeasured(experiment):
    def offline(model):
        raise UserError("no network")

    judged = find(read_experiment(experiment), offline).judged
    assert {each.claim.key: each.outcome.verdict for each in judged}["coefficients-rise"] == NOT_MEASURED


def test_limits_say_what_is_trained_and_never_sampled(tmp_path):
    """15 leading steps of 1000 visit 925 at most; its share of draws, and of the sum of c_t, by their closed forms."""

    def last_sampled(model, steps, spacing):
        assert (model, steps, spacing) == ("tiny", 15, "leading")
        return 925

    experiment = write_experiment(tmp_path)
    described = yaml.safe_load(experiment.read_text())
    for name in ("base-0", "dde-0", "dde-1", "dde-2", "uniform-0", "uniform-1", "uniform-2", "0-0.1-0"):
        folder = experiment.parent / "images" / name
        change_card(folder, lambda card: card["protocol"].update(sampler="DDIM (eta 0)"))
    run = run_folder(experiment.parent / "runs" / "disc", 0, "discounted")
    described["models"]["tiny"]["runs"]["discounted"] = [str(run)]
    file = changed(experiment, models=described["models"])
    text = to_markdown(article(find(read_experiment(file), coefficients, last_sampled)))
    c_t = coefficients("tiny")
    discounted = sum(0.9 ** ((999 - t) // 20) for t in range(926, 1000)) / (20 * (1 - 0.9**50) / 0.1)
    said = (
        "- tiny: in 15 steps of leading spacing the largest timestep that sampling visits is 925 of 0 to 999. What is "
        "trained above it shows in images through the shared weights alone: 7.4 % of the draws of DDE and Uni, "
        f"{100 * discounted:.2g} % of the draws of Disc and {100 * c_t[926:].sum() / c_t.sum():.2g} % of the sum of "
        "c_t, by which DDE weighs a timestep.\n"
    )
    assert said in text
    whole = find(read_experiment(file), coefficients, lambda *_: 999)
    assert "visits is 999 of 0 to 999: no timestep that is trained lies above it." in to_markdown(
        article(whole)
    )
    assert "largest timestep" not in to_markdown(article(find(read_experiment(file), coefficients)))
