"""A saved model, whatever its base was stored in: stock diffusers draws with it as it is, and it holds nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file
from stored_models import STORED, full_precision, networks, weights, with_other_files

from ddecli.models.load import load_for_sampling, load_model


@pytest.fixture(params=["sd", "sdxl"])
def family_folder(request: pytest.FixtureRequest) -> Path:
    """A folder of each family."""
    return request.getfixturevalue(f"{request.param}_folder")


def picture(pipeline: DiffusionPipeline) -> np.ndarray:
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return pipeline("a red circle", generator=generator, num_inference_steps=2, output_type="np").images[0]


@pytest.mark.two_threads
@pytest.mark.parametrize("stored", STORED)
def test_a_saved_model_draws_as_stock_diffusers_loads_it(
    family_folder: Path, tmp_path: Path, stored: str
) -> None:
    """Without an argument, and the picture is that of the base's own numbers in float32."""
    base = STORED[stored](family_folder, tmp_path / "base")
    load_model(str(base), encoders=False).save(tmp_path / "saved")
    saved = DiffusionPipeline.from_pretrained(tmp_path / "saved")
    parts = [part.name for part in networks(base)]
    assert {getattr(saved, part).dtype for part in parts} == {torch.float32}
    np.testing.assert_array_equal(picture(saved), picture(load_for_sampling(str(base)).pipeline))


@pytest.mark.parametrize("stored", STORED)
def test_what_is_loaded_is_what_was_stored(family_folder: Path, tmp_path: Path, stored: str) -> None:
    """Against the tensors of the file that was written first, in the precision it was stored in."""
    base = STORED[stored](family_folder, tmp_path / "base")
    loaded = load_for_sampling(str(base)).pipeline
    halves = {"half_precision": torch.float16, "fp16_names_only": torch.float16}
    for part in networks(family_folder):
        dtype = halves.get(stored, torch.float32)
        if stored == "mixed_precision":
            dtype = {"unet": torch.bfloat16, "vae": torch.float32}.get(part.name, torch.float16)
        found = getattr(loaded, part.name).state_dict()
        for name, value in load_file(weights(part)).items():
            assert torch.equal(found[name], value.to(dtype).float()), (part.name, name)


def test_a_saved_model_holds_its_parts_and_nothing_else(family_folder: Path, tmp_path: Path) -> None:
    base = with_other_files(family_folder, tmp_path / "base")
    load_model(str(base), encoders=False).save(tmp_path / "saved")
    plain = full_precision(family_folder, tmp_path / "plain")
    held = {str(path.relative_to(tmp_path / "saved")) for path in (tmp_path / "saved").rglob("*")}
    assert held == {str(path.relative_to(plain)) for path in plain.rglob("*")}
    index = json.loads((tmp_path / "saved" / "model_index.json").read_text())
    named = {part for part, entry in index.items() if isinstance(entry, list) and entry[0]}
    assert named == {path.name for path in (tmp_path / "saved").iterdir() if path.is_dir()}
