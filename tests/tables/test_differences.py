"""Differences of every two rows: paired by prompt and by training seed, whatever the rows are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.stats import t
from score_sets import score_set

from ddecli.core.scores import ScoreSet
from ddecli.stats.compare import compare
from ddecli.stats.rows import difference, prompt_means, scored_rows, shared_seeds
from ddecli.tables.build import score_table
from ddecli.tables.render import to_csv, to_markdown

PROMPTS, IMAGES = 40, 3
SEED_EFFECTS = {0: -0.2, 1: 0.0, 2: 0.2}
"""What a training seed does to every method: it decides which pairs and noise they see."""


def run(folder: Path, seed: int, loss: str, **settings) -> str:
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(yaml.safe_dump({"seed": seed, "loss": loss, "segment": None} | settings))
    return str(folder)


def trained(root: Path, name: str, shift: float, seeds=(0, 1, 2), loss: str = "dde") -> list[ScoreSet]:
    """The scores of one method's trainings; each seed moves all methods alike."""
    sets = []
    for seed in seeds:
        noise = np.random.default_rng(len(name) + 100 * seed).normal(size=(PROMPTS, IMAGES))
        values = base_scores() + shift + SEED_EFFECTS[seed] + 0.02 * noise
        folder = run(root / f"{name}-{seed}", seed, loss)
        sets.append(score_set(f"{name}-{seed}", {"clip": values}, folder))
    return sets


def base_scores() -> np.ndarray:
    return 5 + 0.5 * np.random.default_rng(3).normal(size=(PROMPTS, 1)) + np.zeros((PROMPTS, IMAGES))


@pytest.fixture
def sets(tmp_path) -> dict[str, list[ScoreSet]]:
    base = base_scores() + 0.02 * np.random.default_rng(4).normal(size=(PROMPTS, IMAGES))
    return {
        "start": [score_set("start", {"clip": base}, "sd15")],
        "first": trained(tmp_path, "first", 0.10),
        "another": trained(tmp_path, "another", 0.15, seeds=(2, 0, 1)),
        "alone": trained(tmp_path, "alone", 0.15, seeds=(1,)),
    }


def test_every_two_rows_are_held_against_each_other(sets):
    table = score_table(None, sets)
    assert [(each.first, each.second) for each in table.differences] == [
        ("first", "start"),
        ("another", "start"),
        ("alone", "start"),
        ("another", "first"),
        ("alone", "first"),
        ("alone", "another"),
    ]
    means = {row.label: row.cells["clip"].mean for row in table.rows}
    for each in table.differences:
        assert each.estimates["clip"].value == pytest.approx(means[each.first] - means[each.second])
    assert [each.same_seeds for each in table.differences] == [False, False, False, True, False, False]


def test_the_papers_tables_stay_as_the_paper_has_them(sets):
    assert score_table(2, sets).differences == []


def test_trainings_of_equal_seeds_are_paired(sets):
    """Against the differences of each seed, one by one: the seeds' own effects fall out."""
    table = score_table(None, sets)
    found = next(each for each in table.differences if each.second == "first" and each.first == "another")
    order = {"first": (0, 1, 2), "another": (2, 0, 1)}
    by_seed = {
        (name, seed): given.metric("clip").prompt_means()
        for name in order
        for seed, given in zip(order[name], sets[name], strict=True)
    }
    differences = [float((by_seed["another", s] - by_seed["first", s]).mean()) for s in range(3)]
    contrast = found.estimates["clip"]
    assert contrast.value == pytest.approx(np.mean(differences))
    assert contrast.spread == pytest.approx(np.std(differences, ddof=1))
    assert contrast.spread < 0.05 * np.std(list(SEED_EFFECTS.values()), ddof=1)
    assert (contrast.pairs, contrast.below) == (3, 0)
    # Prompts move both rows alike here, so that little but the pairs is left: Student's over three of them, or less.
    half = t.ppf(0.975, 2) * contrast.spread / np.sqrt(3)
    assert 0.9 * half < (contrast.interval.high - contrast.interval.low) / 2 < 1.3 * half + 0.005
    assert contrast.shown


def test_without_known_seeds_trainings_are_independent(sets):
    """What seeds do to all methods alike then widens the interval, and nothing is shown."""
    for name in ("first", "another"):
        for each in sets[name]:
            each.protocol["model"] = {"name": "moved-away"}
    table = score_table(None, sets)
    apart = next(each for each in table.differences if (each.first, each.second) == ("another", "first"))
    contrast = apart.estimates["clip"]
    assert not apart.same_seeds
    assert not contrast.shown
    assert contrast.pairs is contrast.below is None
    # Two independent means of three from -0.2, 0, 0.2, with four degrees of freedom.
    assert contrast.interval.high - contrast.interval.low == pytest.approx(
        2 * t.ppf(0.975, 4) * 0.2 * np.sqrt(2 / 3), rel=0.05
    )
    assert contrast.spread == pytest.approx(0.2 * np.sqrt(2), rel=0.05)


def test_the_order_of_folders_plays_no_part(sets):
    values = prompt_means(sets, "clip")
    seeds = {"first": (0, 1, 2), "another": (2, 0, 1)}
    rows = scored_rows(values, seeds)
    turned = {label: row[:, ::-1] for label, row in values.items()}
    again = scored_rows(turned, {label: each[::-1] for label, each in seeds.items()})
    one, other = (difference(found["another"], found["first"]) for found in (rows, again))
    assert one.interval() == pytest.approx(other.interval())


def test_which_trainings_make_pairs():
    assert shared_seeds((10, 11, 12), (12, 10, 11)) == ([0, 1, 2], [1, 2, 0])
    assert shared_seeds((13, 10, 11, 12), (10, 11)) == ([1, 2], [0, 1])  # a row with fewer trainings
    assert shared_seeds((10, 11, 12), (11, 12, 13)) is None  # dropping some of both would be a choice
    assert shared_seeds((10,), (10,)) is shared_seeds((10,), (10, 11)) is None
    assert shared_seeds(None, (10, 11)) is None


def test_of_rows_with_unequal_numbers_the_shared_seeds_count(tmp_path):
    sets = {
        "start": [score_set("start", {"clip": base_scores()}, "sd15")],
        "many": trained(tmp_path, "many", 0.1, seeds=(0, 1, 2)),
        "few": trained(tmp_path, "few", 0.15, seeds=(0, 1)),
    }
    found = score_table(None, sets).differences[-1]
    means = {
        name: [each.metric("clip").prompt_means().mean() for each in given] for name, given in sets.items()
    }
    assert found.same_seeds
    assert found.estimates["clip"].value == pytest.approx(
        np.mean(np.subtract(means["few"], means["many"][:2]))
    )


def test_of_two_folders_it_is_their_comparison():
    values = base_scores()
    rng = np.random.default_rng(8)
    one, other = (
        score_set(name, {"clip": values + rng.normal(size=values.shape), "hps": values}, name)
        for name in "ab"
    )
    table = score_table(None, {"A": [one], "B": [other]})
    (difference,) = table.differences
    expected = next(each for each in compare(other, one) if each.metric == "clip")
    assert difference.estimates["clip"].value == pytest.approx(expected.difference)
    assert difference.estimates["clip"].interval == pytest.approx(expected.difference_interval)
    assert "Bold: its interval excludes 0." in " ".join(table.notes)


def test_written_with_what_they_rest_on(sets):
    table = score_table(None, sets)
    text = to_markdown(table)
    assert "### Mean scores" in text
    assert "Table" not in text and "aper" not in text
    line = next(line for line in text.splitlines() if line.startswith("| another − first |"))
    assert "**+0.0" in line
    assert (
        "Trainings of equal seeds are paired, over the seeds that both rows have (another and first);" in text
    )
    assert (
        "after correction for the 6 differences of a column (Bonferroni: the interval of level 99.17 %"
        in text
    )
    assert "stands behind alone: the intervals are over prompts and speak of that one" in text
    rows = to_csv(table).splitlines()
    assert len(rows) == 1 + 4 + 3  # a row a label, then the pairs without the base, of one metric
    assert sum(line.startswith(",another,first,3,clip,") for line in rows) == 1


def test_a_method_is_known_by_its_loss(tmp_path):
    values = {metric: np.ones((3, 2)) for metric in ("clip", "hps", "pickscore")}

    def papers(label, loss, **settings):
        folder = run(tmp_path / f"{label}-{loss}-{len(settings)}", 0, loss, **settings)
        sets = {"base": [score_set("base", values)], label: [score_set(label, values, folder)]}
        return [cell.paper for cell in score_table(2, sets).rows[1].cells.values()]

    assert papers("ours", "dde") == ["+6.7 %", "+3.9 %", "+3.3 %"]
    assert papers("DDE", "uniform")[0] == "score 0.331"
    assert papers("part", "dde", segment="0.2-0.7") == ["not available"] * 3
