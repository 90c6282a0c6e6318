"""A tiny model of the real classes, and pictures to encode."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_model
from tests.tiny_models import sd_pipeline


class Counting:
    """A model that counts what it encodes."""

    def __init__(self, model: DiffusionModel) -> None:
        self.model = model
        self.images = 0
        self.prompts: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.images += len(pixels)
        return self.model.encode_images(pixels)

    def encode_prompts(self, prompts: list[str]) -> dict[str, Tensor]:
        self.prompts += prompts
        return self.model.encode_prompts(prompts)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Stable Diffusion pipeline: 32x32 pixels, 4x8x8 latents, prompts of 16 tokens."""
    folder = tmp_path_factory.mktemp("model")
    sd_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def loaded(model_folder: Path) -> DiffusionModel:
    return load_model(str(model_folder))


@pytest.fixture
def model(loaded: DiffusionModel) -> Counting:
    return Counting(loaded)


def picture(number: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture that no other number gives."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(number: int, size: tuple[int, int] = (32, 32)) -> bytes:
    """The same, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture(number, size).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(folder: Path, rows: list[dict[str, object]], pictures: int = 0) -> Path:
    """A folder with metadata.jsonl and pictures 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        (folder / f"{number}.png").write_bytes(png(number))
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder
