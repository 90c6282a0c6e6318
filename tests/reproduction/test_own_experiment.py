"""An experiment of one's own: any models and methods, no paper's model, two losses under other names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from experiments import METRICS, run_folder, write_experiment
from score_sets import score_set, write

from ddecli.core.errors import UserError
from ddecli.core.world import TINY
from ddecli.document.markdown import to_markdown
from ddecli.reproduction.article.article import article
from ddecli.reproduction.article.findings import Findings, find
from ddecli.reproduction.claims.verdicts import NOT_MEASURED
from ddecli.reproduction.experiment import read_experiment

PROMPTS = 30
WORDS_OF_THE_PAPER = ("the paper", "Denoised Distribution", "not measured", "not available", "hidden utility")


def folder(
    root: Path, name: str, shift: float, run: Path | None = None, metrics=("clip", "hps"), **protocol
) -> str:
    """Scored images; `shift` is how far they lie above the base's."""
    common = 1 + 0.1 * np.random.default_rng(0).normal(size=(PROMPTS, 1))
    noise = 0.01 * np.random.default_rng(len(str(root / name))).normal(size=(PROMPTS, 2))
    values = {metric: common + noise + shift for metric in metrics}
    sampled = {"num_prompts": PROMPTS, "resolution": 512, "world": None} | protocol
    return str(write(score_set(name, values, str(run or name), **sampled), root / "images" / name))


def trainings(
    root: Path, name: str, loss: str, shift: float, seeds: int = 3, **settings
) -> dict[str, list[str]]:
    runs = [run_folder(root / "runs" / f"{name}-{seed}", seed, loss, **settings) for seed in range(seeds)]
    images = [folder(root, f"{name}-{seed}", shift, run) for seed, run in enumerate(runs)]
    return {"scores": images, "runs": [str(run) for run in runs]}


def described(root: Path, **methods: dict[str, list[str]]) -> dict:
    """One model's part of the description."""
    return {
        part: ({"base": [folder(root, "base", 0.0)]} if part == "scores" else {})
        | {name: given[part] for name, given in methods.items()}
        for part in ("scores", "runs")
    }


def report(root: Path, **models: dict) -> tuple[Findings, str]:
    file = root / "experiment.yaml"
    given = {name.replace("_", "-"): model for name, model in models.items()}
    file.write_text(
        yaml.safe_dump({"name": "own", "title": "Our experiment", "models": given}, sort_keys=False)
    )
    findings = find(read_experiment(file), lambda model: np.geomspace(0.001, 200, 1000))
    return findings, to_markdown(article(findings))


def test_two_losses_and_no_paper(tmp_path):
    model = described(
        tmp_path,
        plain=trainings(tmp_path, "plain", "uniform", 0.02),
        ours=trainings(tmp_path, "ours", "dde", 0.06),
    )
    model["methods"] = {"plain": {"label": "Plain"}, "ours": {"label": "Our DDE"}}
    findings, text = report(tmp_path, our_model=model)
    assert findings.measured == []
    assert not [words for words in WORDS_OF_THE_PAPER if words in text]
    assert "drawn shapes" not in text
    assert "| Our DDE | dde | 20 | 3e-05 | 8 | 16 | 0, 1, 2 |" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| Our DDE − Plain |")]
    shown = re.findall(r"\*\*\+(0\.\d+) ± 0\.\d+ \[(0\.\d+), (0\.\d+)\]\*\*", line)
    assert len(shown) == 2  # CLIP and HPS, each with an interval above zero
    for value, low, high in shown:
        assert float(low) < float(value) < float(high)
        assert float(value) == pytest.approx(0.04, abs=0.01)
    assert (
        "Of 2 differences between methods of our-model, 2 are told from 0 after correction for the differences in a "
        "column: Our DDE − Plain in" in text
    )
    assert "Our DDE beside our-model, over 3 trainings and 30 prompts: CLIP (+" in text
    assert (
        "Trainings of equal seeds are paired, over the seeds that both rows have (Our DDE and Plain);" in text
    )
    data = findings.as_dict()
    assert data["models"] == {"our-model": None}
    assert [(d["first"], d["second"], d["same_seeds"]) for d in data["differences"]["our-model"]][-1] == (
        "Our DDE",
        "Plain",
        True,
    )


def test_any_number_of_models_and_methods(tmp_path):
    methods = {
        f"m{number}": trainings(tmp_path, f"m{number}", "dde", 0.01 * number, 1) for number in range(4)
    }
    findings, text = report(tmp_path, **{f"model_{n}": described(tmp_path, **methods) for n in range(3)})
    for number in range(3):
        assert len(findings.side_by_side[f"model-{number}"].differences) == 5 * 4 / 2
        assert f"**model-{number}: differences of every two rows, with 95 % intervals.**" in text
    assert "m3 beside model-2, over 1 training and 30 prompts" in text
    assert "One training, or model, stands behind m0, m1, m2 and m3" in text


def test_a_result_that_is_not_shown_is_said_to_be_none(tmp_path):
    rng = np.random.default_rng(1)
    listed = {}
    for name in ("base", "wide"):
        scores = score_set(name, {"clip": 1 + rng.normal(size=(PROMPTS, 2))}, name, num_prompts=PROMPTS)
        listed[name] = [str(write(scores, tmp_path / name))]
    _, text = report(tmp_path, m={"scores": listed})
    assert re.search(
        r"wide beside m, over 1 training and 30 prompts: CLIP \([^)]*\) is not shown to change\.", text
    )


def test_a_method_plays_its_losss_part_whatever_it_is_called(tmp_path):
    model = described(
        tmp_path,
        plain=trainings(tmp_path, "plain", "uniform", 0.02),
        ours=trainings(tmp_path, "ours", "dde", 0.06),
        part=trainings(tmp_path, "part", "dde", 0.01, segment="0.2-0.7"),
    )
    model["paper"] = "SD15"
    findings, text = report(tmp_path, our_model=model)
    keys = [each.claim.key for _, each in findings.measured]
    assert {"coefficients-rise", "corrections-fall", "priority-distinguishes"} <= set(keys)
    ratios = next(each.outcome for _, each in findings.measured if each.claim.key == "priority-distinguishes")
    assert ratios.comparisons[0].label == "ours / plain"
    assert "not measured" not in text.split("### Not measured")[0]


def test_two_methods_of_one_loss_are_not_taken_for_the_papers(tmp_path):
    methods = {name: trainings(tmp_path, name, "dde", 0.02) for name in ("weak", "strong")}
    findings, text = report(tmp_path, m=described(tmp_path, **methods) | {"paper": "SD15"})
    assert {each.claim.key for _, each in findings.measured} == {"coefficients-rise"}
    assert "m: weak and strong have the loss dde, so no claim of the paper on it is judged" in text
    methods["dde"] = trainings(tmp_path, "dde", "dde", 0.02)
    findings, text = report(tmp_path, m=described(tmp_path, **methods) | {"paper": "SD15"})
    assert "corrections-fall" in {each.claim.key for _, each in findings.measured}
    assert "so no claim" not in text


def test_a_declared_loss_is_held_against_the_runs(tmp_path):
    model = described(tmp_path, ours=trainings(tmp_path, "ours", "dde", 0.02))
    model["methods"] = {"ours": {"loss": "uniform"}}
    with pytest.raises(UserError, match=r"listed under ours \(uniform\), but was trained with the loss dde"):
        report(tmp_path, m=model)


def test_rows_have_names_of_their_own(tmp_path):
    model = described(
        tmp_path, ours=trainings(tmp_path, "ours", "dde", 0.02), a=trainings(tmp_path, "a", "sft", 0.0)
    )
    with pytest.raises(UserError, match="Two rows of m are called twice"):
        report(tmp_path, m=model | {"methods": {"ours": {"label": "twice"}, "a": {"label": "twice"}}})
    with pytest.raises(UserError, match="Two rows of m are called m"):
        report(tmp_path, m=model | {"methods": {"ours": {"label": "m"}}})
    with pytest.raises(UserError, match="methods names 'other'"):
        report(tmp_path, m=model | {"methods": {"other": {"label": "x"}}})


def test_pictures_of_unknown_origin_and_one_prompt_will_do(tmp_path):
    """The least there can be: two folders of scores without a protocol, of one prompt, and so without intervals."""
    listed = {}
    for name, value in (("base", 1.0), ("ours", 1.5)):
        scores = score_set(name, {"aesthetic": np.full((1, 3), value)}, name)
        scores.protocol.clear()
        listed[name] = [str(write(scores, tmp_path / name))]
    findings, text = report(tmp_path, m={"scores": listed})
    (difference,) = findings.side_by_side["m"].differences
    assert (difference.estimates["aesthetic"].value, difference.estimates["aesthetic"].interval) == (
        0.5,
        None,
    )
    assert not difference.estimates["aesthetic"].shown
    assert "ours beside m, over 1 training and 1 prompt: Aesthetic (+50.0 %) is not shown to change." in text
    assert "| ours − m | +0.500 |" in text
    assert "scores are means over 1 prompt with 3 images each" in text


def test_only_what_was_drawn_is_said_to_be(tmp_path):
    """One model's pictures are of the tiny world, the other's are not, though they are as small."""
    drawn = {"scores": {"base": [folder(tmp_path / "a", "base", 0.0, resolution=32, world=TINY)]}}
    drawn["scores"]["ours"] = [folder(tmp_path / "a", "ours", 0.1, resolution=32, world=TINY)]
    small = {"scores": {"base": [folder(tmp_path / "b", "base", 0.0, resolution=32, world=None)]}}
    small["scores"]["ours"] = [folder(tmp_path / "b", "ours", 0.1, resolution=32, world=None)]
    _, text = report(tmp_path, drawn=drawn, small=small)
    assert "What is said of drawn was measured in a world of drawn shapes" in text
    _, text = report(tmp_path, small=small)
    assert "drawn shapes" not in text
    assert "The tiny world" not in text


def test_the_papers_experiment_has_its_differences_too(tmp_path):
    """Table 2 is as the paper's; every difference of two methods stands beside it."""
    findings = find(read_experiment(write_experiment(tmp_path)), lambda model: np.ones(1000))
    text = to_markdown(article(findings))
    assert "tiny: mean scores" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("| DDE − Uni |")]
    assert line.count("[") == len(METRICS) + 1
    assert any(each.outcome.verdict == NOT_MEASURED for each in findings.judged)


def test_of_many_methods_each_metric_is_spoken_of(tmp_path):
    shifts = {"a": 0.2, "b": 0.0, "c": -0.2, "d": 0.0, "e": 0.0, "f": 0.0, "g": 0.3}
    model = described(
        tmp_path, **{name: trainings(tmp_path, name, "sft", shift) for name, shift in shifts.items()}
    )
    _, text = report(tmp_path, m=model)
    abstract = text.split("<a id=")[0]
    assert "7 methods stand beside m, each with 3 trainings." in abstract
    for metric in ("CLIP", "HPS"):
        assert f"{metric} rises with a and g. {metric} falls with c. Some trainings of " in abstract
    assert re.search(
        r"Some trainings of [b-f, ]*c[b-f, ]* fall below m in it\.", abstract.replace(" and", ",")
    )
    six = {part: {name: given for name, given in model[part].items() if name != "g"} for part in model}
    _, text = report(tmp_path, m=six)
    assert "a beside m, over 3 trainings and 30 prompts: CLIP (" in text


def test_of_the_differences_of_a_dozen_methods_those_that_are_told_are_shown(tmp_path):
    shifts = {f"m{number:02d}": 0.2 * (number == 3) for number in range(11)}
    model = described(
        tmp_path, **{name: trainings(tmp_path, name, "sft", shift) for name, shift in shifts.items()}
    )
    findings, text = report(tmp_path, m=model)
    differences = findings.side_by_side["m"].differences
    shown = [each for each in differences if any(found.shown for found in each.estimates.values())]
    assert len(differences) == 66 and 0 < len(shown) < 66
    table = text.split(f"95 % intervals; {len(shown)} of 66 rows")[1].split("\n\n")[1].splitlines()[2:]
    assert [line.split(" | ")[0].strip("| ") for line in table] == [
        f"{each.first} − {each.second}" for each in shown
    ]
    assert all("**" in line for line in table)
    assert "over the seeds that both rows have (55 of 66 differences)" in text
