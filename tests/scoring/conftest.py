"""Random scorers, a classifier, and a folder of pictures with prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_models
from PIL import Image

from ddecli.core.protocol import prompt_id, prompts_sha256
from ddecli.core.world import TINY

UNSAID = "unsaid"
"""Of a protocol's key, that it is not there."""
PROMPTS = ("a red circle", "a blue star on white", "green")


@pytest.fixture(scope="session")
def scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_clip(tmp_path_factory.mktemp("scorer") / "clip")


@pytest.fixture(scope="session")
def other_scorer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_clip(tmp_path_factory.mktemp("scorer") / "other", seed=1)


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_classifier(tmp_path_factory.mktemp("classifier") / "classifier")


def random_picture(rng: np.random.Generator, size: int = 32) -> Image.Image:
    """Coarse random colours, so that pictures differ plainly."""
    coarse = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def make_sample(tmp_path: Path) -> Callable[..., Path]:
    """Write a finished sample: pictures, metadata.jsonl and protocol.json."""

    def make(name: str = "sample", seed: int = 0, per_prompt: int = 4, **protocol: object) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        rng = np.random.default_rng(seed)
        rows = []
        for prompt in PROMPTS:
            for index in range(per_prompt):
                file_name = f"{prompt_id(prompt)}-{index:02d}.png"
                random_picture(rng).save(folder / file_name)
                row = {"file_name": file_name, "prompt": prompt, "image_index": index, "seed": 0}
                rows.append(row | {"prompt_id": prompt_id(prompt)})
        (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {"prompts_sha256": prompts_sha256(PROMPTS), "num_prompts": len(PROMPTS)}
        settings |= {
            "images_per_prompt": per_prompt,
            "prompt_set": "test",
            "steps": 2,
            "seed": 0,
            "resolution": 32,
            "world": TINY,
            "model": {"name": name},
        }
        told = {key: value for key, value in (settings | protocol).items() if value != UNSAID}
        (folder / "protocol.json").write_text(json.dumps(told))
        return folder

    return make
