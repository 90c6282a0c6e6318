"""LAION aesthetic predictor v2 (Schuhmann 2022): a linear head on the picture's embedding by CLIP ViT-L/14."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ddecli.core.errors import UserError, read_by_others
from ddecli.core.files import sha256_file
from ddecli.scoring.clip_model import ClipEmbeddingScorer
from ddecli.scoring.published import CLIP_L, ScorerSource
from ddecli.scoring.weights import CONFIG, Weights

HEAD = "sac+logos+ava1-l14-linearMSE.pth"
HEAD_URL = (
    "https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/main/"
    "sac%2Blogos%2Bava1-l14-linearMSE.pth"
)


class AestheticHead(nn.Module):
    """The published head: five linear layers without activations, normalised embeddings (N, E) to (N, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, 1024),
            nn.Dropout(0.2),
            nn.Linear(1024, 128),
            nn.Dropout(0.2),
            nn.Linear(128, 64),
            nn.Dropout(0.1),
            nn.Linear(64, 16),
            nn.Linear(16, 1),
        )

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.layers(embeddings)


class AestheticScore(ClipEmbeddingScorer):
    """How pleasing people find a picture, about 1 to 10; the prompt plays no part."""

    name = "aesthetic"
    scale = "about 1 to 10"

    def __init__(self, source: ScorerSource, device: str | torch.device) -> None:
        """Load CLIP ViT-L/14 and the head. A folder may hold both, or the head alone.

        Raises:
            UserError: either is not at hand.
        """
        given = source.location if isinstance(source.location, Path) else None
        self.head_file = find_head(given)
        with_clip = given is None or (given / CONFIG).is_file()
        super().__init__(source if with_clip else ScorerSource(CLIP_L, CLIP_L), device)

    def load(self, weights: Weights) -> None:
        super().load(weights)
        self.head = load_head(self.head_file, self.model.config.projection_dim)

    def make_card(self, weights: Weights) -> dict[str, Any]:
        head = {"head": self.head_file.name, "head_sha256": sha256_file(self.head_file)}
        return super().make_card(weights) | head

    @torch.inference_mode()
    def score_embeddings(self, embeddings: Tensor, prompts: Sequence[str]) -> Tensor:
        """Score of each picture; `prompts` are not looked at."""
        return self.head(embeddings).squeeze(-1)


def find_head(given: Path | None) -> Path:
    """The head's file: the one given, the one in the folder given, else in torch's cache or from its author.

    Raises:
        UserError: it is at none of these places and cannot be downloaded.
    """
    if given is not None and given.is_file():
        return given
    if given is not None and (given / HEAD).is_file():
        return given / HEAD
    cached = Path(torch.hub.get_dir()) / "checkpoints" / HEAD
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(HEAD_URL, str(cached), progress=False)
        except OSError as error:
            raise UserError(
                f"The head of the aesthetic scorer is {f'not in {given} and ' if given else ''}not to be downloaded "
                f"({type(error).__name__}): fetch {HEAD_URL} where there is a network, and put {HEAD} into the "
                "folder of --scorer aesthetic=FOLDER."
            ) from error
    return cached


def load_head(file: Path, width: int) -> AestheticHead:
    """Read the head in float32.

    Raises:
        UserError: the file is damaged, is another head, or does not fit embeddings of `width` numbers.
    """
    head = AestheticHead(width)
    what = f"{file} is not the published head {HEAD} for embeddings of {width} numbers, or is damaged"
    with read_by_others(what, "fetch it again"):
        head.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return head.float().eval()
