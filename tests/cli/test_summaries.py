"""What a training came to, in words and with units."""

from __future__ import annotations

from dataclasses import replace

from ddecli.cli.summaries import of_estimate, of_reference, of_training
from ddecli.training.estimate import CostEstimate
from ddecli.training.reference_pass import ReferencePass
from ddecli.training.run_record import TrainSummary

RUN = TrainSummary("runs/x", 1200, 4000.0, 9.6, 2048.0, 0.6931, 0.5, 0.75)


def test_a_training() -> None:
    assert of_training(RUN) == [
        ("run", "runs/x"),
        ("steps", "1,200"),
        ("time", "1 h 7 min, 9.6 pairs/s"),
        ("peak memory", "2.0 GiB"),
        ("loss", "0.6931 at first, 0.5000 at last"),
        ("accuracy", "0.75 of the last batch's pairs"),
    ]
    assert of_training(replace(RUN, holdout_accuracy=0.5))[-1] == ("held out", "0.50 of the held-out pairs")
    assert of_training(TrainSummary("runs/x", 5)) == [("run", "runs/x"), ("steps", "5")]


def test_an_estimate_and_a_reference_pass() -> None:
    found = CostEstimate(80, 4, 0.2029, 0.004507, None, 157.7, 900.0, 0.01, 0.24, 0, 2560, ["Buy.", "Rent."])
    assert of_estimate(found) == [
        ("time", "16 s for 80 steps"),
        ("a step", "0.2 s, 157.7 pairs/s"),
        ("at once", "4 pairs (--micro-batch-size)"),
        ("peak memory", "900 MiB"),
        ("of a step", "1 % reading pairs, 24 % reference"),
        ("advice", "Buy."),
        ("advice", "Rent."),
    ]
    priced = of_estimate(replace(found, cost=1234.5))
    assert priced[1] == ("cost", "1,234.50 for these hours of this machine")
    made = of_reference(ReferencePass("pairs/x-reference", 2560, 960, 1600, 70.0))
    assert made[1] == ("draws", "2,560: 960 were kept before, 1,600 computed") and made[2][1] == "1 min 10 s"
