"""Which world a model belongs to is recorded, and travels with it; its size says nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_models
from diffusers import StableDiffusionPipeline

from ddecli.core.errors import UserError
from ddecli.core.world import FIRST_EDITION, TINY, WORLD_KEY, world_of
from ddecli.models.load import load_for_sampling, load_model
from ddecli.models.presets import resolve
from ddecli.sampling.samplers import default_guidance_scale, default_steps


@pytest.mark.parametrize("name", ["tiny", "tiny-xl"])
def test_models_of_the_world_say_so(name: str) -> None:
    assert resolve(name).world == TINY
    model = load_for_sampling(name)
    assert (default_steps(model), default_guidance_scale(model)) == (15, 5.0)


def test_presets_of_real_models_are_of_no_world() -> None:
    assert resolve("sd15").world is None and resolve("sdxl").world is None


def test_a_small_model_of_ones_own_is_of_no_world(tmp_path: Path) -> None:
    tiny_models.sd_pipeline().save_pretrained(tmp_path)
    assert resolve(str(tmp_path)).world is None
    model = load_for_sampling(str(tmp_path))
    assert (default_steps(model), default_guidance_scale(model)) == (50, 7.5)


def test_a_trained_model_stays_in_its_world(tmp_path: Path) -> None:
    load_model("tiny").save(tmp_path / "model")
    assert resolve(str(tmp_path / "model")).world == TINY
    StableDiffusionPipeline.from_pretrained(tmp_path / "model")  # diffusers takes the key in its stride


def test_a_pipeline_saved_by_diffusers_stays_in_its_world(tmp_path: Path) -> None:
    load_for_sampling("tiny").pipeline.save_pretrained(tmp_path)
    assert load_for_sampling(str(tmp_path)).world == TINY


def test_a_model_of_an_earlier_edition_of_the_world_is_refused(world_folder: Path, tmp_path: Path) -> None:
    """Its scorers are no longer here, and it would be compared with another base."""
    folder = Path(shutil.copytree(world_folder, tmp_path / "earlier"))
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {WORLD_KEY: FIRST_EDITION}))
    assert resolve(str(world_folder)).is_tiny
    with pytest.raises(UserError, match=r"earlier is of the first edition of the tiny world"):
        resolve(str(folder))


def test_what_earlier_versions_recorded_goes_by_the_size() -> None:
    assert world_of({"resolution": 32}) == FIRST_EDITION
    assert world_of({"resolution": 64}) is None
    assert world_of({"resolution": 32, "world": None}) is None
