"""Recipes: those of the built-in world are the best cells of the recorded grids, the others follow their rule."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import DDIMScheduler

from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.registry import LOSSES
from ddecli.training.settings import recipe, resolve_settings

ROOT = Path(__file__).parents[2]
RECORDS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("model", ["tiny", "tiny-xl"])
def test_recipes_are_the_best_cells_of_the_grid(model: str) -> None:
    record = json.loads((RECORDS / f"grid-{model}.json").read_text())
    for loss, chosen in record["chosen"].items():
        rows = [row for row in record["rows"] if row["loss"] == loss]
        most = max(len(row["seeds"]) for row in rows)
        best = max((row for row in rows if len(row["seeds"]) == most), key=lambda row: row["gain"])
        assert chosen == {name: best[name] for name in chosen}
        found = recipe(model, loss, tiny=True)
        assert {name: found[name] for name in chosen} == chosen
        assert all(found[name] == record["budget"][name] for name in ("steps", "batch_size", "warmup"))


@pytest.mark.parametrize("model", ["sd15", "sdxl", "default"])
@pytest.mark.parametrize("lora", [False, True])
def test_betas_give_the_mean_gradient_of_uniform_at_the_first_step(model: str, lora: bool) -> None:
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    schedule = NoiseSchedule.from_scheduler(scheduler)
    step = torch.arange(1, 1001)
    factors = {
        "uniform": 0.5,
        "discounted": 0.5,
        "dde": float(schedule.single_shot_weights.mean()) / 2,
        "dde-single": float(schedule.single_shot_weights.mean()) / 2,
        "dde-step": float((step * schedule.step_weights).mean()),
    }
    for loss, factor in factors.items():
        assert recipe(model, loss, False, lora=lora)["beta"] * factor == pytest.approx(2500, rel=0.03)


def test_full_and_lora_have_recipes_of_their_own_and_families_share_them() -> None:
    full, lora = recipe("sd15", "dde", False), recipe("sd15", "dde", False, lora=True)
    assert (full["batch_size"], full["steps"], lora["batch_size"]) == (2048, 2000, 32)
    assert recipe("sdxl", "dde", False)["steps"] == 1500
    for name, family in (("sd15", "sd"), ("sdxl", "sdxl")):
        assert recipe("my/folder", "dde", False, family) == recipe(name, "dde", False)
    assert recipe("owner/model", "dde", False) == recipe("default", "dde", False)
    assert recipe("tiny", "dde", True, "sd", lora=True) == recipe("tiny", "dde", True, "sd")


def test_every_recipe_makes_settings() -> None:
    for model in ("sd15", "sdxl", "tiny", "tiny-xl"):
        for loss in LOSSES:
            for lora in (None, 8):
                settings = resolve_settings({"model": model, "loss": loss, "lora": lora})
                assert settings.gradient_checkpointing is (model == "sdxl")
                assert settings.optimizer == ("adafactor" if model == "sdxl" and not lora else "adamw")


@pytest.mark.parametrize("model", ["sd15", "sdxl"])
def test_the_paper_s_grid_holds_the_recipes(model: str) -> None:
    grid = yaml.safe_load((ROOT / "workflow" / "config" / "paper.yaml").read_text())["models"][model]["grid"]
    betas, rates = ([float(value) for value in grid[name]] for name in ("beta", "lr"))
    for loss in LOSSES:
        found = recipe(model, loss, tiny=False)
        assert min(rates) <= found["lr"] <= max(rates)
        is_factor = LOSSES[loss].mean_weight is not None  # beta of another kind has other numbers
        assert not is_factor or min(betas) <= found["beta"] <= max(betas)


@pytest.mark.parametrize(
    ("given", "kept"), [({}, True), ({"model": "tiny"}, True), ({"model": "tiny-xl"}, False)]
)
def test_another_model_is_not_held_to_the_weights_of_the_run_to_repeat(
    given: dict[str, str], kept: bool, tmp_path: Path
) -> None:
    (tmp_path / "run.yaml").write_text("model: tiny\nmodel_sha256: abc\n")
    assert resolve_settings(given, tmp_path / "run.yaml").model_sha256 == ("abc" if kept else None)
