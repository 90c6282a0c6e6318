"""Figures of scored folders: segments and beat ratios, in numbers and as drawn."""

from __future__ import annotations

import numpy as np
import pytest
from score_sets import score_set, write

from ddecli.core.errors import UserError
from ddecli.core.scores import load_scores
from ddecli.figures import beat_ratios, segments
from ddecli.figures.save import plain
from ddecli.stats.compare import compare
from ddecli.stats.intervals import estimate
from ddecli.tables.build import build_table

SHIFTS = {"base": 0, "full": 0.1, "first": 0.05, "middle": 0.08, "last-0": -0.2, "last-1": -0.1}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("scores")
    rng = np.random.default_rng(0)
    prompts = 1 + 0.1 * rng.normal(size=(30, 1)) + 0.05 * rng.normal(size=(30, 4))

    def one(name, shift, **protocol):
        values = prompts + shift + 0.05 * rng.normal(size=prompts.shape)
        scores = {"hps": values + 1, "clip": values, "diversity": 1 - values}
        return write(score_set(name, scores, name, **protocol), root / name)

    made = {name: one(name, shift) for name, shift in SHIFTS.items()}
    return made | {"other": one("other", 0, steps=50)}


@pytest.fixture(scope="module")
def rows(folders):
    return {
        "SD15": [folders["base"]],
        "Uni": [folders["full"]],
        "0.9-1": [folders["last-0"], folders["last-1"]],
        "0-0.1": [folders["first"]],
        "0.2-0.7": [folders["middle"]],
    }


def test_segments_are_the_means_and_differences_of_the_table(rows):
    found = segments.numbers(rows)
    assert list(found["metrics"]) == ["clip", "hps"]  # diversity is shown where it is asked for
    for row in build_table(2, rows).rows:
        for metric, means in found["metrics"].items():
            cell = row.cells[metric]
            assert means[row.label]["mean"] == pytest.approx(cell.mean)
            if row.label != "SD15":
                assert means[row.label]["difference_interval"] == pytest.approx(cell.difference_interval)
    last = found["metrics"]["clip"]["0.9-1"]
    assert last["mean"] == pytest.approx(np.mean(last["seed_means"]))
    assert len(last["seed_means"]) == 2
    assert found["segments"]["0.9-1"] == (0.9, 1.0)


def test_segments_as_drawn(rows):
    found = plain(segments.numbers(rows, ["clip"]))
    (axis,) = segments.draw(found).axes
    clip = found["metrics"]["clip"]
    base, full, joined, wider = axis.lines[0], axis.lines[1], *_data_lines(axis)
    assert (base.get_ydata()[0], base.get_linestyle()) == (clip["SD15"]["mean"], "--")
    assert (full.get_ydata()[0], full.get_color()) == (clip["Uni"]["mean"], "black")
    np.testing.assert_allclose(joined.get_xdata().astype(float), [0.05, 0.95])
    np.testing.assert_allclose(joined.get_ydata(), [clip["0-0.1"]["mean"], clip["0.9-1"]["mean"]])
    np.testing.assert_allclose(wider.get_xdata(), [0.2, 0.7])
    np.testing.assert_allclose(wider.get_ydata(), clip["0.2-0.7"]["mean"])
    bars = axis.collections[0].get_segments()  # of the joined points, low to high
    for bar, label in zip(bars, ("0-0.1", "0.9-1"), strict=True):
        expected = np.add(clip["SD15"]["mean"], clip[label]["difference_interval"])
        np.testing.assert_allclose(bar[:, 1], expected)


def _data_lines(axis):
    """The line through the points, and the wide bar: the lines that are no errorbar's caps."""
    lines = [line for line in axis.lines[2:] if line.get_linestyle() == "-" and len(line.get_xdata()) == 2]
    return lines[0], lines[1]


def test_segments_refuse_what_they_cannot_show(rows, folders):
    with pytest.raises(UserError, match="three rows or more"):
        segments.numbers({"SD15": rows["SD15"], "Uni": rows["Uni"]})
    with pytest.raises(UserError, match="'DDE' is not a part of the trajectory"):
        segments.numbers(rows | {"DDE": rows["Uni"]})
    with pytest.raises(UserError, match="steps is 15 in the first and 50 in the second"):
        segments.numbers(rows | {"0.3-0.4": [folders["other"]]})
    with pytest.raises(UserError, match=r"has no truth scores \(it has clip, diversity, hps\)"):
        segments.numbers(rows, ["truth"])
    with pytest.raises(UserError, match="names one folder twice"):
        segments.numbers(rows | {"0-0.1": [folders["first"]] * 2})


def test_one_prompt_has_no_interval(tmp_path):
    rows = {
        label: [write(score_set(label, {"clip": np.full((1, 2), value)}), tmp_path / label)]
        for value, label in enumerate(("BASE", "FULL", "0-0.1", "0-1"))
    }
    found = plain(segments.numbers(rows))
    assert found["metrics"]["clip"]["FULL"]["difference_interval"] is None
    assert segments.draw(found).axes
    beat = plain(beat_ratios.numbers(rows))
    assert beat["metrics"]["clip"]["FULL"] | {"pairs": 2, "interval": None} == beat["metrics"]["clip"]["FULL"]
    assert beat_ratios.draw(beat).axes


def test_the_beat_ratio_of_one_seed_is_that_of_compare(rows):
    found = beat_ratios.numbers(rows)
    comparison = compare(load_scores(rows["Uni"][0]), load_scores(rows["SD15"][0]))
    for expected in (each for each in comparison if each.metric != "diversity"):
        ratio = found["metrics"][expected.metric]["Uni"]
        assert ratio["beat_ratio"] == pytest.approx(expected.beat_ratio)
        assert ratio["interval"] == pytest.approx(expected.beat_interval)
        assert ratio["tie_share"] == expected.tie_share
        assert (ratio["prompts"], ratio["pairs"]) == (30, 120)


def test_the_beat_ratio_of_several_seeds(rows):
    """Where every prompt has equally many images, its share of wins is what is averaged, over prompts and seeds."""
    found = beat_ratios.numbers(rows, ["clip"])["metrics"]["clip"]["0.9-1"]
    base, *seeds = [
        load_scores(folder).metric("clip").score.reshape(30, 4) for folder in (*rows["SD15"], *rows["0.9-1"])
    ]
    wins = [seed > base for seed in seeds]
    assert found["seed_ratios"] == pytest.approx([np.mean(each) for each in wins])
    assert found["beat_ratio"] == pytest.approx(np.mean(wins))
    assert found["below"] == 2
    shares = np.stack([each.mean(axis=1) for each in wins], axis=1)
    low, high = estimate(shares).interval()
    assert found["interval"] == pytest.approx((max(low, 0), min(high, 1)))


def test_single_trainings_are_drawn_as_dots(rows):
    found = plain(beat_ratios.numbers(rows, ["clip"]))
    (axis,) = beat_ratios.draw(found).axes
    dots = [line for line in axis.lines if line.get_markersize() == 2.0]
    assert [list(line.get_ydata()) for line in dots] == [found["metrics"]["clip"]["0.9-1"]["seed_ratios"]]
    found = plain(segments.numbers(rows, ["clip"]))
    (axis,) = segments.draw(found).axes
    dots = [line for line in axis.lines if line.get_markersize() == 2.0]
    last = found["metrics"]["clip"]["0.9-1"]
    assert [list(line.get_ydata()) for line in dots] == [last["seed_means"]]
    assert last["below"] == sum(
        each < found["metrics"]["clip"]["SD15"]["mean"] for each in last["seed_means"]
    )


def test_ties_count_half(tmp_path):
    values = np.arange(8.0).reshape(4, 2)
    above = values + np.array([[1, 0], [0, 0], [-1, 0], [1, 0]])
    rows = {
        "BASE": [write(score_set("a", {"clip": values}), tmp_path / "a")],
        "DDE": [write(score_set("b", {"clip": above}), tmp_path / "b")],
    }
    found = beat_ratios.numbers(rows)["metrics"]["clip"]["DDE"]
    assert found["beat_ratio"] == pytest.approx((2 + 5 / 2) / 8)
    assert found["tie_share"] == pytest.approx(5 / 8)


def test_beat_ratios_as_drawn(rows):
    found = plain(beat_ratios.numbers(rows))
    figure = beat_ratios.draw(found)
    (axis,) = figure.axes
    assert list(axis.lines[0].get_ydata()) == [0.5, 0.5]
    points = [line for line in axis.lines[1:] if line.get_marker() in ("s", "X")]
    assert len(points) == 4
    np.testing.assert_allclose(
        points[0].get_ydata(), [found["metrics"][metric]["Uni"]["beat_ratio"] for metric in ("clip", "hps")]
    )
    assert [text.get_text() for text in axis.get_xticklabels()] == ["CLIP", "HPS"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Uni", "0.9-1", "0-0.1", "0.2-0.7"]


def test_beat_ratios_refuse_what_they_cannot_show(rows, folders):
    with pytest.raises(UserError, match="a row beside the base"):
        beat_ratios.numbers({"SD15": rows["SD15"]})
    with pytest.raises(UserError, match="0.9-1 is the base, which has one folder only; it is given 2"):
        beat_ratios.numbers({"0.9-1": rows["0.9-1"], "Uni": rows["Uni"]})
    with pytest.raises(UserError, match="steps is 15 in the first and 50 in the second"):
        beat_ratios.numbers(rows | {"DDE": [folders["other"]]})
