"""A part of the denoising trajectory, as it is written."""

from __future__ import annotations

import math

from ddecli.core.errors import UserError

Segment = tuple[float, float]
"""Its two ends as fractions of T; 0 is the clean image."""
CLEAN, MIDDLE, NOISE = (0.0, 0.2), (0.2, 0.7), (0.7, 1.0)
"""The whole trajectory in three; the middle is the paper's steps 200 to 700."""


def parse_segment(text: str) -> Segment:
    """A segment of the trajectory as fractions: "0.3-0.4" -> (0.3, 0.4); "0-0.1" is nearest the clean image.

    Raises UserError unless `0 <= start < end <= 1`.
    """
    try:
        start, end = (float(part) for part in text.split("-"))
    except ValueError:
        start, end = math.nan, math.nan
    if not 0 <= start < end <= 1:
        raise UserError(
            f"The segment {text!r} is not a part of the trajectory; write it as two fractions from 0 "
            "(clean image) to 1 (noise) with the smaller first, such as 0.3-0.4."
        )
    return start, end
