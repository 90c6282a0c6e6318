"""HPS v2 (Wu et al. 2023): a CLIP-H fine-tuned on people's choices; the cosine, as `hpsv2.score` has it."""

from ddecli.scoring.clip_model import ClipScorer


class HumanPreferenceScore(ClipScorer):
    """Cosine of picture and prompt in the space of HPS."""

    name = "hps"
