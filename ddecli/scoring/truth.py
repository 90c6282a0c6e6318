"""Truth of the tiny world: a CLIP-shaped estimate of the scenes' own utility, never used for training."""

from ddecli.scoring.clip_model import ClipScorer


class TruthScore(ClipScorer):
    """Its cosine estimates the voters' utility u <= 0 of a picture for its caption, as 1 + u / 3."""

    name = "truth"
