"""Differences of every two rows: paired by prompt and by training seed, whatever the rows are called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from score_sets import score_set

from ddecli.core.scores import ScoreSet
from ddecli.reporting.compare import compare
from ddecli.reporting.render import to_csv, to_markdown
from ddecli.reporting.rows import drawn_differences, prompt_means, resampled_rows
from ddecli.reporting.tables import score_table

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
    table = score_table(None, sets, draws=200)
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
    assert score_table(2, sets, draws=200).differences == []


def test_trainings_of_equal_seeds_are_drawn_together(sets):
    """Against a slow loop that draws whole prompts, then whole seeds, both sides of the pair at once."""
    table = score_table(None, sets, draws=10_000)
    found = next(each for each in table.differences if each.second == "first" and each.first == "another")
    by_seed = {
        name: {
            seed: given.metric("clip").prompt_means() for seed, given in zip(order, sets[name], strict=True)
        }
        for name, order in (("first", (0, 1, 2)), ("another", (2, 0, 1)))
    }
    rng = np.random.default_rng(5)
    drawn = []
    for _ in range(3_000):
        prompts = rng.integers(PROMPTS, size=PROMPTS)
        seeds = rng.integers(3, size=3)
        drawn.append(
            np.mean([(by_seed["another"][s][prompts] - by_seed["first"][s][prompts]).mean() for s in seeds])
        )
    slow = np.percentile(drawn, [2.5, 97.5])
    np.testing.assert_allclose(found.estimates["clip"].interval, slow, atol=0.1 * (slow[1] - slow[0]))
    assert found.estimates["clip"].shown


def test_without_known_seeds_trainings_are_drawn_apart(sets):
    """What seeds do to all methods alike then widens the interval, and nothing is shown."""
    for name in ("first", "another"):
        for each in sets[name]:
            each.protocol["model"] = {"name": "moved-away"}
    table = score_table(None, sets, draws=2_000)
    apart = next(each for each in table.differences if (each.first, each.second) == ("another", "first"))
    assert not apart.same_seeds
    assert not apart.estimates["clip"].shown
    interval = apart.estimates["clip"].interval
    # Two independent draws of three from -0.2, 0, 0.2: a standard deviation of 0.163 / sqrt(3) * sqrt(2).
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * 0.1333, rel=0.15)


def test_the_order_of_folders_plays_no_part(sets):
    values = prompt_means(sets, "clip")
    seeds = {"first": (0, 1, 2), "another": (2, 0, 1)}
    rows = resampled_rows(values, 500, 0, seeds)
    turned = {label: row[:, ::-1] for label, row in values.items()}
    again = resampled_rows(turned, 500, 0, {label: each[::-1] for label, each in seeds.items()})
    np.testing.assert_allclose(
        drawn_differences(rows["another"], rows["first"]), drawn_differences(again["another"], again["first"])
    )


def test_of_two_folders_it_is_their_comparison():
    values = base_scores()
    rng = np.random.default_rng(8)
    one, other = (
        score_set(name, {"clip": values + rng.normal(size=values.shape), "hps": values}, name)
        for name in "ab"
    )
    table = score_table(None, {"A": [one], "B": [other]}, draws=4_000)
    (difference,) = table.differences
    expected = next(each for each in compare(other, one, draws=4_000) if each.metric == "clip")
    assert difference.estimates["clip"].value == pytest.approx(expected.difference)
    assert difference.estimates["clip"].interval == pytest.approx(expected.difference_interval)
    assert "of 2, 0.1 on average exclude 0" in " ".join(table.notes)


def test_written_with_what_they_rest_on(sets):
    table = score_table(None, sets, draws=1_000)
    text = to_markdown(table)
    assert "### Mean scores" in text
    assert "Table" not in text and "aper" not in text
    line = next(line for line in text.splitlines() if line.startswith("| another − first |"))
    assert "**+0.0" in line
    assert "Trainings of equal seeds are drawn together (another and first)." in text
    assert "stands behind alone: the intervals are over prompts and speak of that one" in text
    rows = to_csv(table).splitlines()
    assert len(rows) == 1 + 4 + 3  # a row a label, then the pairs without the base, of one metric
    assert sum(line.startswith(",another,first,3,clip,") for line in rows) == 1


def test_a_method_is_known_by_its_loss(tmp_path):
    values = {metric: np.ones((3, 2)) for metric in ("clip", "hps", "pickscore")}

    def papers(label, loss, **settings):
        folder = run(tmp_path / f"{label}-{loss}-{len(settings)}", 0, loss, **settings)
        sets = {"base": [score_set("base", values)], label: [score_set(label, values, folder)]}
        return [cell.paper for cell in score_table(2, sets, draws=100).rows[1].cells.values()]

    assert papers("ours", "dde") == ["+6.7 %", "+3.9 %", "+3.3 %"]
    assert papers("DDE", "uniform")[0] == "score 0.331"
    assert papers("part", "dde", segment="0.2-0.7") == ["not available"] * 3
