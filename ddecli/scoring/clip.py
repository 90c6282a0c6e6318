"""CLIP score (Radford et al. 2021; Hessel et al. 2021): the plain cosine, not clipped at 0."""

from ddecli.scoring.clip_model import ClipScorer


class ClipScore(ClipScorer):
    """Cosine of picture and prompt; for real pictures OpenCLIP's ViT-H/14 trained on LAION-2B."""

    name = "clip"
