"""A figure on disk: PNG, PDF and the plotted numbers, the same bytes for the same input."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure

from ddecli.core.files import atomic_file, write_json
from ddecli.core.paths import replaceable
from ddecli.figures.style import STYLE, title_lines

Numbers = dict[str, Any]
# What would differ from one day or one installation to the next is left out.
METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".pdf": {"Creator": None, "Producer": None, "CreationDate": None},
}


def save_figure(
    out: str | Path, numbers: Numbers, draw: Callable[[Numbers], Figure], title: str | None = None
) -> Path:
    """Draw numbers and write OUT.png, OUT.pdf and OUT.json.

    Args:
        out: path without a suffix; one of these three is dropped.
        numbers: what is plotted, and what a report says of it.
        draw: makes the figure of the numbers as they are in OUT.json, and of nothing else.

    Returns:
        The path without a suffix.

    Raises:
        UserError: a file cannot be written.
    """
    stem = Path(out)
    if stem.suffix in (*METADATA, ".json"):
        stem = stem.with_suffix("")
    files = {suffix: replaceable(stem.with_name(stem.name + suffix)) for suffix in (*METADATA, ".json")}
    numbers = plain({**numbers, "title": title})
    pictures = {}
    with matplotlib.style.context(["default", STYLE]):
        figure = draw(numbers)
        if title and figure.get_layout_engine() is not None:  # without one, the figure has made room itself
            figure.suptitle("\n".join(title_lines(title, figure.get_figwidth())))
        for suffix, metadata in METADATA.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix[1:], metadata=metadata)
            pictures[suffix] = buffer.getvalue()
    for suffix, picture in pictures.items():
        with atomic_file(files[suffix]) as temporary:
            temporary.write_bytes(picture)
    write_json(files[".json"], numbers)
    return stem


def plain(value: Any) -> Any:
    """Values as JSON has them: lists for arrays, None for what is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
