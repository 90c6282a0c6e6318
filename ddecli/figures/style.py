"""How every figure looks: sizes, type, colours, and text that users wrote."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ddecli.core.text import printable
from ddecli.objectives.registry import LOSSES, method_of

COLUMN, PAGE = 3.4, 6.9
"""Widths of one column and of both, in inches: figures are printed at their size."""
TITLE_LETTER = 0.085
"""Width of a wide letter of a title, in inches."""
T_LABEL = "$t\\,/\\,T$   (0: image, 1: noise)"

STYLE = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "butt",
    "errorbar.capsize": 2,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.columnspacing": 1.4,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType: text in the PDF can be searched and edited
}

# Of Okabe and Ito, red of Tol: told apart with every kind of colour blindness.
COLOURS = {"base": "#CC3311"} | {name: loss.colour for name, loss in LOSSES.items()}
OTHER_COLOURS = ("#332288", "#882255", "#999933", "#44AA99", "#661100", "#117733", "#000000")
"""Labels that are no method of the paper, in their order (Tol's muted colours)."""


def colours(labels: Sequence[str]) -> dict[str, str]:
    """The colour of every label: a method of the paper has the same one in all figures."""
    own = {label: COLOURS[method_of(label)] for label in labels if method_of(label) in COLOURS}
    free = [colour for colour in OTHER_COLOURS if colour not in own.values()] or OTHER_COLOURS
    others = [label for label in labels if label not in own]
    return {label: own.get(label) or free[others.index(label) % len(free)] for label in labels}


def marker(label: str) -> str:
    """The marker of a label, so that methods are told apart without colours."""
    loss = LOSSES.get(method_of(label))
    return loss.marker if loss else "X"


def line(label: str) -> Any:
    """The line of a label: of two that coincide, the dashes of the upper one show the lower one."""
    loss = LOSSES.get(method_of(label))
    return loss.line if loss else "-"


def panels(count: int, height: float = 2.4) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in reading order, as wide as one or both columns; `height` of a row in inches."""
    columns = {1: 1, 2: 2, 4: 2}.get(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(COLUMN if columns == 1 else PAGE, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def log_scale(axis: Axes) -> None:
    """A logarithmic y axis, if there is a number on it that has a logarithm."""
    if any(np.any(np.asarray(line.get_ydata(), dtype=float) > 0) for line in axis.lines):
        axis.set_yscale("log")


def legend(figure: Figure, entries: Sequence[tuple[Artist, str]]) -> None:
    """One legend below all panels, where it covers neither data nor title; in as few lines as fit."""
    handles, labels = zip(*entries, strict=True)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for rows in range(1, len(entries) + 1):
        found = figure.legend(handles, labels, loc="outside lower center", ncols=-(-len(entries) // rows))
        if found.get_window_extent(renderer).width <= figure.bbox.width or rows == len(entries):
            return
        found.remove()


def title_lines(title: str, width: float) -> list[str]:
    """A title in lines that fit into `width` inches."""
    return [literal(line) for line in textwrap.wrap(title, int(width / TITLE_LETTER))]


def literal(text: str) -> str:
    """A user's text as it is: a dollar sign begins no formula."""
    return printable(text).replace("$", r"\$")
