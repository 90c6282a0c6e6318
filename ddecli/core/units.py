"""Times, sizes and amounts as people read them."""

from __future__ import annotations

MINUTE, HOUR, DAY = 60, 3600, 86400


def duration(seconds: float) -> str:
    """`0.4 s`, `40 s`, `2 min 5 s`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for unit, (large, small), size, part in (
        (DAY, ("d", "h"), DAY, HOUR),
        (HOUR, ("h", "min"), HOUR, MINUTE),
        (MINUTE, ("min", "s"), MINUTE, 1),
    ):
        if whole >= unit:
            count, rest = divmod(round(whole / part) * part, size)
            return f"{count} {large}" + (f" {rest // part} {small}" if rest else "")
    return f"{whole} s"


def clock(seconds: float) -> str:
    """`0:02:05`, of days too: `49:00:00`."""
    minutes, rest = divmod(round(seconds), MINUTE)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def mebibytes(value: float) -> str:
    """`848 MiB`, `23.4 GiB`, of a number of MiB."""
    return f"{value:.0f} MiB" if value < 1024 else f"{value / 1024:.1f} GiB"


def rate(count: float, seconds: float, unit: str) -> str:
    """`3.2 images/s`; where one takes more than two seconds, `12.5 s/image`."""
    each = seconds / count if count else float("inf")
    if count and each > 2:
        single = {"batches": "batch"}.get(unit, unit.removesuffix("s"))
        return f"{each:.1f} s/{single}"
    return f"{count / max(seconds, 1e-9):.1f} {unit}/s"
