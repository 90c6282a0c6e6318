"""The metrics that the tables, figures and claims know by name."""

from __future__ import annotations

from ddecli.scoring.published import METRICS

PAPER_METRICS = ("clip", "hps", "pickscore")
"""The scorers of the paper's Tables 2 and 3. They choose settings too; other metrics play no part in a choice."""
TRUTH, ATTRIBUTES, DIVERSITY = "truth", "attributes", "diversity"
"""What is measured beside the scores that stand for people's judgement."""
NAMES = {name: metric.label for name, metric in METRICS.items()} | {
    DIVERSITY: "Diversity",
    "inception": "Inception Score",
}
"""What each is called, in the order in which they are shown."""


def is_part(metric: str) -> bool:
    """Whether it is a part of another metric, such as attributes.shape, and shown beside its like alone."""
    return "." in metric and metric not in NAMES


def is_judgement(metric: str) -> bool:
    """Whether it is a score that stands for people's judgement."""
    return metric not in (TRUTH, ATTRIBUTES, DIVERSITY) and not is_part(metric)
