"""PickScore (Kirstain et al. 2023): exp(logit_scale) x cosine, about 20 for real pictures."""

from ddecli.scoring.clip_model import ClipScorer


class PickScore(ClipScorer):
    """Scaled cosine: the difference of two pictures' scores is the logit that people choose the first."""

    name = "pickscore"
    scale = "exp(logit_scale) x cosine"
    scaled = True
