"""The metrics that the tables, figures and claims know by name."""

from __future__ import annotations

PAPER_METRICS = ("clip", "hps", "pickscore")
"""The scorers of the paper's Tables 2 and 3. They choose settings too; other metrics play no part in a choice."""
TRUTH, DIVERSITY = "truth", "diversity"
NAMES = {
    "clip": "CLIP",
    "hps": "HPS",
    "hps-v2.1": "HPS v2.1",
    "pickscore": "PS",
    "imagereward": "ImageReward",
    "aesthetic": "Aesthetic",
    TRUTH: "Truth",
    DIVERSITY: "Diversity",
    "inception": "Inception Score",
}
"""What each is called, in the order in which they are shown."""
