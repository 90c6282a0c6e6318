"""`ddecli distance` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from cli_checks import assert_one_sentence
from PIL import Image

Run = Callable[..., Any]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    rng = np.random.default_rng(0)
    found = tmp_path / "a", tmp_path / "b"
    for folder, count in zip(found, (12, 10), strict=True):
        folder.mkdir()
        for number in range(count):
            pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return found


def test_both_distances(ddecli: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = folders
    models = ("--classifier", tiny_models.save_classifier(tmp_path / "classifier"),
              "--scorer", f"clip={tiny_models.save_clip(tmp_path / 'clip')}")  # fmt: skip
    typed = ddecli("distance", a, b, *models)
    assert typed.code == 0, typed.error
    lines = typed.out.splitlines()
    assert [line.split()[0] for line in lines] == ["FID", "CMMD"]
    assert f"12 images of {a} and 10 of {b}" in lines[0]
    found = json.loads(ddecli("distance", a, b, *models, "--json").out)["distances"]
    assert [each["metric"] for each in found] == ["fid", "cmmd"]
    assert all(each["value"] > 0 and each["images"] == 12 for each in found)
    alone = json.loads(ddecli("distance", a, b, *models, "--metric", "cmmd", "--json").out)["distances"]
    assert alone == found[1:]


def test_wrong_input(ddecli: Run, folders: tuple[Path, Path]) -> None:
    a, b = folders
    assert_one_sentence(ddecli("distance", a, b, "--metric", "kid"), "Unknown distance 'kid'", "fid, cmmd")
    assert_one_sentence(ddecli("distance", a, b, "--scorer", "hps=x"), "distances take a CLIP alone")
    assert_one_sentence(ddecli("distance", a, a), "held against itself")
    assert_one_sentence(ddecli("distance", a, "none"), "none is no folder of images")
