"""Times and sizes as people read them."""

from __future__ import annotations

import pytest

from ddecli.core.units import clock, duration, mebibytes, rate


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4321, "0.43 s"), (9.96, "10 s"), (59.6, "1 min"), (125, "2 min 5 s"), (3599.7, "1 h"),
        (3600 * 3 + 1199, "3 h 20 min"), (86400 * 2 + 4 * 3600 + 100, "2 d 4 h"), (86400 - 1, "24 h"),
    ],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_clocks_sizes_and_rates() -> None:
    assert (clock(125.4), clock(49 * 3600)) == ("0:02:05", "49:00:00")
    assert (mebibytes(847.6), mebibytes(23.44 * 1024)) == ("848 MiB", "23.4 GiB")
    assert rate(10, 5, "images") == "2.0 images/s"
    assert rate(2, 25, "batches") == "12.5 s/batch"
    assert rate(0, 25, "step") == "0.0 step/s"
