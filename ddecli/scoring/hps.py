"""HPS v2 (Wu et al. 2023): a CLIP-H fine-tuned on people's choices; the cosine, as `hpsv2.score` has it."""

from ddecli.scoring.clip_model import ClipScorer


class HumanPreferenceScore(ClipScorer):
    """Cosine of picture and prompt in the space of HPS v2."""

    name = "hps"


class HumanPreferenceScore21(ClipScorer):
    """The same in the space of HPS v2.1; its scores are on another scale than those of v2."""

    name = "hps-v2.1"
