"""A tiny model of the real classes that counts what it encodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.models.base import DiffusionModel


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
def loaded(sd_folder: Path) -> DiffusionModel:
    from ddecli.models.load import load_model  # slow to import: tests without models start at once

    return load_model(str(sd_folder))


@pytest.fixture
def model(loaded: DiffusionModel) -> Counting:
    return Counting(loaded)
