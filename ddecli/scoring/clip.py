"""CLIP score (Radford et al. 2021; Hessel et al. 2021): the plain cosine, not clipped at 0. Beside it the diversity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor

from ddecli.scoring.clip_model import ClipScorer
from ddecli.scoring.published import DIVERSITY


class ClipScore(ClipScorer):
    """Cosine of picture and prompt; for real pictures OpenCLIP's ViT-H/14 trained on LAION-2B."""

    name = "clip"
    part_scales: ClassVar[dict[str, str]] = {
        DIVERSITY: "mean cosine distance to the other images of the prompt"
    }

    def parts(self, embeddings: Tensor, prompts: Sequence[str]) -> dict[str, np.ndarray]:
        """The diversity of the pictures of each prompt."""
        return {DIVERSITY: diversity_within_prompts(np.array(prompts), embeddings)}


def diversity_within_prompts(prompts: np.ndarray, embeddings: Tensor) -> np.ndarray:
    """Mean cosine distance of each image to the other images of its prompt; NaN where there is no other.

    Args:
        prompts: (N,) texts.
        embeddings: (N, E) normalised.

    Returns:
        (N,) float32.
    """
    distances = np.full(len(prompts), np.nan, dtype=np.float32)
    _, cluster = np.unique(prompts, return_inverse=True)
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1):
        if len(members) > 1:
            cosines = (embeddings[members] @ embeddings[members].T).fill_diagonal_(0)
            distances[members] = (1 - cosines.sum(1) / (len(members) - 1)).numpy()
    return distances
