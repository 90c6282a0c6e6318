"""A second guidance scale: what the article says of gains and of the order of methods there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from experiments import METRICS, write_experiment
from score_sets import score_set, write

from ddecli.core.errors import UserError
from ddecli.document.markdown import to_markdown
from ddecli.reproduction.article.article import article
from ddecli.reproduction.article.findings import Findings, find
from ddecli.reproduction.article.guidance import guidance_words
from ddecli.reproduction.experiment import read_experiment
from ddecli.reproduction.guidance import second_guidance

PROMPTS = 20


def coefficients(model: str) -> np.ndarray:
    return np.geomspace(0.001, 200, 1000)


def again(root: Path, row: str, shift: float | dict[str, float], scale: float = 5.0) -> str:
    """The first training of a row of `write_experiment`, sampled again: 20 prompts, an image each."""
    common = np.random.default_rng(1).normal(size=(PROMPTS, 1))
    noise = 0.01 * np.random.default_rng(len(row)).normal(size=(PROMPTS, 1))
    shifts = shift if isinstance(shift, dict) else dict.fromkeys(METRICS, shift)
    values = {metric: common + noise + shifts[metric] for metric in METRICS} | {"diversity": common}
    scores = score_set(
        f"{row}-2", values, f"{row}-0", guidance_scale=scale, num_prompts=PROMPTS, images_per_prompt=1
    )
    return str(write(scores, root / "second" / f"{row}-0"))


def findings(root: Path, scale: float = 5.0, **shifts: float | dict[str, float]) -> Findings:
    """The experiment in which `uniform` gains .024 and `dde` .06, in all but truth, at guidance 2."""
    file = write_experiment(root)
    described = yaml.safe_load(file.read_text())
    second = {row: [again(root, row, shift, scale)] for row, shift in ({"base": 0.0} | shifts).items()}
    described["models"]["tiny"]["second_guidance"] = second
    file.write_text(yaml.safe_dump(described))
    return find(read_experiment(file), coefficients)


def test_gains_and_order_that_stay(tmp_path: Path) -> None:
    found = findings(tmp_path, uniform=0.03, dde=0.1).guidances["tiny"]
    assert (found.first, found.second, found.prompts, found.images, found.trainings) == (2, 5, PROMPTS, 1, 1)
    gains = {(each.first_row, each.metric): each for each in found.gains}
    assert len(gains) == 2 * len(METRICS)  # no diversity: it is another number with one image
    # Of the three trainings of each method, the one that was sampled at both: shifts of .060 and .024.
    assert gains["DDE", "clip"].first.value == pytest.approx(0.060, abs=0.005)
    assert gains["Uni", "hps"].first.value == pytest.approx(0.024, abs=0.005)
    assert gains["DDE", "clip"].second.value == pytest.approx(0.1, abs=0.01)
    words = guidance_words(found)
    assert words.startswith(
        "base and methods were sampled a second time, at guidance 5 beside 2: 20 prompts with 1 image, 1 training a "
        "method, the same at both. "
    )
    # Truth of uniform falls at 2 and rises at 5.
    assert (
        "Of 8 differences to the base shown at guidance 2, 7 are shown at 5 as well, 0 not shown there, and "
        "1 (Uni − tiny in Truth) shown on the other side."
    ) in words
    assert words.endswith("Of 4 pairs of methods, one a metric, 4 stand in the same order at both.")


def test_gains_that_vanish_and_an_order_that_turns(tmp_path: Path) -> None:
    found = findings(tmp_path, uniform=0.1, dde=dict.fromkeys(METRICS, 0.0) | {"hps": 0.2})
    words = guidance_words(found.guidances["tiny"])
    assert (
        "8 differences to the base shown at guidance 2, 4 are shown at 5 as well, 3 not shown there, and 1 ("
        in words
    )
    assert words.endswith(
        "1 stands in the same order at both; of the others, 3 (DDE − Uni in CLIP, DDE − Uni in PS and DDE − Uni in "
        "Truth) shown to stand the other way at guidance 5."
    )


def test_the_article_has_a_table_of_both_scales(tmp_path: Path) -> None:
    found = findings(tmp_path, uniform=0.03, dde=0.1)
    text = to_markdown(article(found))
    section = text.split(". What the paper does not report\n")[1].split("\n## ")[0]
    assert "tiny: base and methods were sampled a second time, at guidance 5 beside 2" in section
    table = section.split("Gains at two guidance scales, tiny.")[1]
    assert "| Method | guidance | CLIP | HPS | PS | Truth |" in table
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith(("| DDE", "| Uni"))]
    assert [row[:2] for row in rows] == [["| DDE", "2"], ["| DDE", "5"], ["| Uni", "2"], ["| Uni", "5"]]
    assert [float(row[2].split()[0]) for row in rows] == pytest.approx([0.06, 0.1, 0.024, 0.03], abs=0.005)
    assert found.as_dict()["second_guidance"]["tiny"]["second"] == 5.0


def test_one_scale_twice_is_said(tmp_path: Path) -> None:
    text = to_markdown(article(findings(tmp_path, scale=2.0, dde=0.1)))
    assert "tiny: the second guidance scale is that of the tables, 2." in text
    assert "Gains at two guidance scales" not in text


def test_without_a_second_scale_nothing_is_said(tmp_path: Path) -> None:
    found = find(read_experiment(write_experiment(tmp_path)), coefficients)
    assert found.guidances == {} and second_guidance(found.evidence.models["tiny"]) is None
    assert "guidance scale" not in to_markdown(article(found))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    file = write_experiment(tmp_path)
    described = yaml.safe_load(file.read_text())
    second = {"base": [again(tmp_path, "base", 0.0)], "dde": [again(tmp_path, "dde", 0.0, scale=7.0)]}
    described["models"]["tiny"]["second_guidance"] = second
    file.write_text(yaml.safe_dump(described))
    with pytest.raises(UserError, match="guidance_scale is 5.0 in the first and 7.0 in the second"):
        find(read_experiment(file), coefficients)
    for given, said in (
        ({"dde": second["dde"]}, "base must be there"),
        (second | {"disc": second["dde"]}, "second_guidance names 'disc', of which there are no scores"),
    ):
        described["models"]["tiny"]["second_guidance"] = given
        file.write_text(yaml.safe_dump(described))
        with pytest.raises(UserError, match=said):
            read_experiment(file)
