"""Tables: means, seeds, gains, the paper's figures, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from score_sets import score_set, write

from ddecli.core.errors import UserError
from ddecli.stats.compare import compare
from ddecli.tables import paper
from ddecli.tables.build import build_table, score_table
from ddecli.tables.inception_table import METRIC, InceptionResult, inception_table


def noisy(seed, shift=0.0, prompts=40, images=4):
    rng = np.random.default_rng(99)
    base = 1 + 0.1 * rng.normal(size=(prompts, 1)) + 0.05 * rng.normal(size=(prompts, images))
    return base + shift + 0.02 * np.random.default_rng(seed).normal(size=(prompts, images))


@pytest.fixture
def sets():
    def one(name, seed, shift):
        values = noisy(seed, shift)
        return score_set(name, {"clip": values, "diversity": 1 - values}, model=name)

    return {
        "BASE": [one("base", 0, 0)],
        "Uni": [one("uni", 1, 0.1)],
        "DDE": [one(f"dde-{n}", 2 + n, shift) for n, shift in enumerate((0.15, 0.2, 0.25))],
    }


def test_means_seeds_and_best(sets):
    table = score_table(2, sets)
    base, uni, dde = table.rows
    assert [row.seeds for row in table.rows] == [1, 1, 3]
    means = [scores.metrics["clip"].score.mean(dtype=float) for scores in sets["DDE"]]
    assert dde.cells["clip"].mean == pytest.approx(np.mean(means))
    assert dde.cells["clip"].spread == pytest.approx(np.std(means, ddof=1))
    assert base.cells["clip"].spread is uni.cells["clip"].spread is None
    assert [row.cells["clip"].best for row in table.rows] == [False, False, True]
    assert base.base is None
    assert base.cells["clip"].gain_percent is None
    assert dde.base == "BASE"


def test_the_gain_of_one_seed_is_that_of_compare(sets):
    cell = score_table(2, sets).rows[1].cells["clip"]
    found = next(row for row in compare(sets["Uni"][0], sets["BASE"][0]) if row.metric == "clip")
    assert cell.gain_percent == pytest.approx(found.gain_percent)
    assert cell.gain_interval == pytest.approx(found.gain_interval)
    assert cell.difference_interval == pytest.approx(found.difference_interval)


def test_seeds_that_disagree_widen_the_interval(sets):
    same = sets | {"DDE": [sets["DDE"][1]] * 3}
    apart = score_table(2, sets).rows[2].cells["clip"].gain_interval
    together = score_table(2, same).rows[2].cells["clip"].gain_interval
    assert apart.high - apart.low > 3 * (together.high - together.low)


def test_trainings_that_fall_below_the_base_are_counted(sets):
    for given, shift in zip(sets["DDE"], (0.15, -0.05, 0.1), strict=True):
        given.metrics["clip"] = score_set("x", {"clip": noisy(3, shift)}).metrics["clip"]
    cells = {row.label: row.cells["clip"] for row in score_table(2, sets).rows}
    assert (cells["BASE"].below, cells["Uni"].below, cells["DDE"].below) == (None, None, 1)


def test_bold_is_corrected_for_the_rows(sets):
    """A gain that is told from 0 alone is not bold among many rows; the best is bold only where its gain is."""

    def gain(rows):
        steps = np.linspace(-1, 1, 40)[:, None]
        values = noisy(0) + 0.04 * steps + 0.0095  # two and a half standard errors of 40 prompts
        ours = [score_set("ours", {"clip": values}, "ours")]
        others = {f"other {n}": [score_set(f"o{n}", {"clip": noisy(0)}, f"o{n}")] for n in range(rows)}
        return score_table(2, {"BASE": sets["BASE"], "ours": ours, **others}).rows[1].cells["clip"]

    alone, among = gain(0), gain(5)
    assert alone.difference_interval == among.difference_interval
    assert alone.difference_interval.low > 0
    assert (alone.shown, among.shown) == (True, False)
    assert alone.best and among.best


def test_the_papers_figures_stand_beside_ours():
    def papers(number, labels):
        values = {metric: np.ones((3, 2)) for metric in ("clip", "hps", "pickscore", "truth")}
        table = score_table(number, {label: [score_set(label, values)] for label in labels})
        return {row.label: [cell.paper for cell in row.cells.values()] for row in table.rows}

    assert papers(2, ["BASE", "SFT", "Uni", "Disc", "DDE", "DDE-Single", "dde_step", "SPIN"]) == {
        "BASE": [""] * 4,
        "SFT": ["not available"] * 3 + [""],
        "Uni": ["score 0.331", "not available", "not available", ""],
        "Disc": ["not available"] * 3 + [""],
        "DDE": ["+6.7 %", "+3.9 %", "+3.3 %", ""],
        "DDE-Single": ["not available"] * 3 + [""],
        "dde_step": ["below base"] * 3 + [""],
        "SPIN": ["not available"] * 3 + [""],
    }
    assert papers(3, ["SDXL", "DDE"])["DDE"] == ["+1.4 %", "+1.0 %", "+3.1 %", ""]


def test_every_figure_of_the_paper_is_of_a_known_row():
    assert paper.tables() == [2, 3, 4]
    assert paper.figure(4, "SD15+DDE", METRIC) == paper.NOT_AVAILABLE


def test_metrics_that_a_folder_lacks_are_left_out_and_named(sets):
    values = noisy(0)
    sets["BASE"] = [score_set("base", {"clip": values, "hps": values})]
    table = score_table(2, sets)
    assert table.metrics == ["clip"]
    assert "Left out, not scored in every folder: diversity, hps." in table.notes


def test_notes_name_protocol_scorers_seeds_and_what_is_bold(sets):
    notes = " ".join(score_table(2, sets).notes)
    for text in ("sampler ddim", "guidance_scale 2.0", "model tiny-clip, revision r1, scale 1.0", "DDE 3"):
        assert text in notes
    assert "Student's 95 % intervals over the 40 prompts and the trainings of a row" in notes
    assert "for the 2 rows of a column (Bonferroni: the interval of level 97.5 % excludes 0)" in notes
    assert (
        "One training, or model, stands behind Uni: the intervals are over prompts and speak of that one"
        in notes
    )
    assert "BASE from base; Uni from uni; DDE from dde-0 and dde-1 and dde-2" in notes


def test_nothing_mixed(sets):
    with pytest.raises(UserError, match="steps is 15 in the first and 50 in the second"):
        score_table(2, sets | {"Disc": [score_set("disc", {"clip": noisy(0)}, steps=50)]})
    with pytest.raises(UserError, match="do not hold the same images"):
        score_table(2, sets | {"Disc": [score_set("disc", {"clip": noisy(0, prompts=41)})]})
    with pytest.raises(UserError, match="no metric in common"):
        score_table(2, sets | {"Disc": [score_set("disc", {"truth": noisy(0)})]})


def test_build_table_reads_folders(sets, tmp_path):
    folders = {label: [write(s, tmp_path / s.name) for s in given] for label, given in sets.items()}
    found, expected = build_table(2, folders), score_table(2, sets)
    assert found.rows == expected.rows
    with pytest.raises(UserError, match="DDE names one folder twice"):
        build_table(2, folders | {"DDE": [tmp_path / "dde-0", f"{tmp_path}/uni/../dde-0"]})
    with pytest.raises(UserError, match="There is no table 5"):
        build_table(5, folders)


def result(name, mean, std=0.2, **changes):
    scorer = {"classifier": {"model": "tiny/classifier"}, "conventions": {}, "splits": 10, "images": 100}
    return InceptionResult(name, mean, std, {"steps": 15}, {METRIC: scorer | changes})


def test_inception_scores_before_and_after():
    table = inception_table(
        {
            "SD15": [result("a", 10.0)],
            "SD15+DDE": [result("b", 11.0), result("c", 12.0, None)],
            "SDXL": [result("d", 20.0, None)],
            "SDXL+DDE": [result("e", 19.0)],
            "other": [result("f", 5.0)],
        }
    )
    cells = {row.label: row.cells[METRIC] for row in table.rows}
    assert [row.base for row in table.rows] == [None, "SD15", None, "SDXL", "SD15"]
    assert [cell.best for cell in cells.values()] == [False, True, True, False, False]
    assert [cell.gain_percent for cell in cells.values()] == pytest.approx([None, 15, None, -5, -50])
    assert cells["SD15"].spread == 0.2
    assert cells["SD15+DDE"].spread == pytest.approx(np.sqrt(0.5))
    assert cells["SDXL"].spread is None
    assert cells["SD15+DDE"].paper == "not available"


def test_gains_in_inception_score_have_intervals():
    """One training: Welch's interval over parts, by hand. Several: wider where they scatter; none where unknown."""
    table = inception_table(
        {
            "SD15": [result("a", 10.0, 0.3)],
            "SD15+DDE": [result("b", 10.4, 0.4)],
            "SD15+Uni": [result(f"c{mean}", mean, 0.4) for mean in (9.0, 10.4, 11.8)],
            "SD15+SFT": [result("d", 10.4, None)],
        }
    )
    cells = {row.label: row.cells[METRIC] for row in table.rows}
    variance, freedom = (0.09 + 0.16) / 10, (0.09 + 0.16) ** 2 / ((0.09**2 + 0.16**2) / 9)
    half = stats.t.ppf(0.975, freedom) * np.sqrt(variance)
    assert cells["SD15+DDE"].difference_interval == pytest.approx((0.4 - half, 0.4 + half))
    variance, freedom = (
        (1.04**2 * 0.09 + 0.16) / 10,
        (1.04**2 * 0.09 + 0.16) ** 2 / (((1.04**2 * 0.09) ** 2 + 0.16**2) / 9),
    )
    half = 100 * stats.t.ppf(0.975, freedom) * np.sqrt(variance) / 10
    assert cells["SD15+DDE"].gain_interval == pytest.approx((4 - half, 4 + half))
    assert not cells["SD15+DDE"].shown  # 2.5 standard errors: enough for one row, not for three
    alone = inception_table({"SD15": [result("a", 10.0, 0.3)], "SD15+DDE": [result("b", 10.4, 0.4)]})
    assert alone.rows[1].cells[METRIC].shown
    low, _ = cells["SD15+Uni"].difference_interval
    assert low < -2 and not cells["SD15+Uni"].shown and cells["SD15+Uni"].below == 1
    assert cells["SD15+SFT"].difference_interval is None and not cells["SD15+SFT"].shown
    assert "Student's 95 % intervals over the parts of the images" in " ".join(table.notes)


def test_inception_scores_of_other_sizes_are_not_mixed():
    with pytest.raises(UserError, match=r"the scorer's inception.images is 100 in the first and 200"):
        inception_table({"a": [result("a", 1.0)], "b": [result("b", 1.0, images=200)]})
    with pytest.raises(UserError, match="steps is 15 in the first and 20 in the second"):
        inception_table({"a": [result("a", 1.0)], "b": [replace(result("b", 1.0), protocol={"steps": 20})]})
