"""Share of image pairs that beat the base model (Fig. 5 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet
from ddecli.figures.measured import chosen_metrics, origin, trainings
from ddecli.figures.save import Numbers
from ddecli.figures.style import COLUMN, PAGE, colours, legend, literal, marker
from ddecli.stats.compare import check_same_images, pairs_won, tie_share
from ddecli.stats.intervals import estimate, ratio_values
from ddecli.stats.metrics import NAMES
from ddecli.stats.rows import Folders, load_rows

GROUP = 0.7
"""Width that the methods of one metric share; metrics are 1 apart."""


def numbers(folders: Folders, metrics: Sequence[str] = ()) -> Numbers:
    """Beat ratios of every label over the first one, the base: same prompt and image index, ties half.

    Args:
        folders: the base's folder first; of each other label its training seeds.
        metrics: all that every folder has if empty.

    Returns:
        By metric and label the mean over seeds with its interval over prompts and seeds (None with one prompt), and the
        number of seeds below one half.

    Raises:
        UserError: no row beside the base, several folders of the base, missing scores, mixed protocols.
    """
    base, *labels = folders
    if not labels:
        raise UserError("The figure needs a row beside the base: BASE=images/tiny DDE=images/tiny-dde.")
    if len(folders[base]) > 1:
        raise UserError(f"{base} is the base, which has one folder only; it is given {len(folders[base])}.")
    sets = load_rows(folders)
    return {
        "figure": "beat-ratios",
        **origin(folders, sets),
        "base": base,
        "metrics": {
            metric: {label: _ratio(sets[label], sets[base][0], metric) for label in labels}
            for metric in chosen_metrics(sets, metrics)
        },
    }


def _ratio(given: Sequence[ScoreSet], base: ScoreSet, metric: str) -> dict[str, Any]:
    for scores in given:
        check_same_images(scores, base, metric)
    found = [(scores.metric(metric), base.metric(metric)) for scores in given]
    won = [pairs_won(a, b)[0] for a, b in found]
    images = pairs_won(*found[0])[1]
    ratios = ratio_values(np.stack(won, axis=1), images[:, None])
    by_seed, interval = ratios.mean(axis=0), estimate(ratios).interval()
    return {
        "beat_ratio": by_seed.mean(),
        "seed_ratios": by_seed,
        "below": int((by_seed < 0.5).sum()),
        "interval": interval and interval.within(0, 1),
        "tie_share": np.mean([tie_share(a, b) for a, b in found]),
        "prompts": len(images),
        "pairs": int(images.sum()),
    }


def draw(numbers: Numbers) -> Figure:
    """The methods side by side for each metric, and a line at one half; small dots are single trainings."""
    metrics = numbers["metrics"]
    labels = list(next(iter(metrics.values())))
    figure = Figure(figsize=(COLUMN if len(metrics) * len(labels) <= 16 else PAGE, 2.6), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0.5, color="#555555", linewidth=0.9, linestyle="--")
    colour = colours(labels)
    entries: list[tuple[Artist, str]] = []
    for number, label in enumerate(labels):
        offset = GROUP * ((number + 0.5) / len(labels) - 0.5)
        found = [metrics[metric][label] for metric in metrics]
        ratios = np.array([each["beat_ratio"] for each in found])
        errors = None
        if found[0]["interval"]:
            low, high = np.transpose([each["interval"] for each in found])
            errors = [ratios - low, high - ratios]
        for place, each in enumerate(found):
            trainings(axis, place + offset, np.asarray(each["seed_ratios"]), colour[label])
        points = axis.errorbar(
            np.arange(len(metrics)) + offset,
            ratios,
            yerr=errors,
            color=colour[label],
            marker=marker(label),
            linestyle="none",
            markersize=4.5,
            elinewidth=1.2,
        )
        entries.append((points.lines[0], literal(label)))
    axis.set_xticks(range(len(metrics)), [NAMES.get(metric, metric) for metric in metrics])
    axis.set(xlim=(-0.5, len(metrics) - 0.5), ylabel=f"share of pairs that beat {literal(numbers['base'])}")
    axis.grid(False, axis="x")
    axis.tick_params(axis="x", length=0)
    legend(figure, entries)
    return figure
