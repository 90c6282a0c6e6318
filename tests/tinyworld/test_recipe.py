"""The recipe of the shipped weights: its trainings, its configurations, and what was measured of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer, ResNetForImageClassification

from ddecli.core.files import read_json
from ddecli.models.presets import builtin_weights
from ddecli.tinyworld import autoencoder, classifier, clip, judging, pretraining, scorers, show
from ddecli.tinyworld import build as recipe
from ddecli.tinyworld.bank import Bank, draw_bank, make_bank
from ddecli.tinyworld.build import build
from ddecli.tinyworld.classifier import held_out_accuracy
from ddecli.tinyworld.judge import SceneJudge
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.scenes import COARSE, FINE, MIDDLE, Scene


def test_the_shipped_judge_and_scorers_are_as_was_measured_when_they_were_built(tmp_path: Path) -> None:
    """The figures of the manifest, measured again on the same held-out scenes."""
    stages = read_json(builtin_weights("") / "manifest.json")["stages"]
    network = ResNetForImageClassification.from_pretrained(builtin_weights("classifier"), dtype=torch.float32)
    assert held_out_accuracy(network) == pytest.approx(stages["classifier"]["accuracy"], abs=0.005)
    encoder = AutoencoderKL.from_pretrained(builtin_weights("tiny") / "vae", dtype=torch.float32).eval()
    size = recipe.HELD_OUT
    held_out = scorers.make_choices(encoder, "held out", size, tmp_path / "pictures.safetensors")
    folder = builtin_weights("hps")
    found = scorers.agreement(
        CLIPModel.from_pretrained(folder, dtype=torch.float32),
        CLIPTokenizer.from_pretrained(folder),
        held_out,
    )
    compared = stages["hps"]
    for group in ("voters", "beauty", "faith"):
        assert found[group] == pytest.approx(compared[group], abs=0.005)
    assert found["beauty"]["votes"] < found["beauty"]["ceiling"]
    judge = SceneJudge.from_pretrained(builtin_weights("judge"), dtype=torch.float32).eval()
    faithful = draw_bank("judge, held out", judging.judged_scenes("held out", size))
    again = judging.agreement(judge, encoder, faithful, make_bank("judged", size, split="validation"))
    for key in ("right", "chance"):
        assert again[key] == pytest.approx(stages["judge"][key], abs=0.005)
    assert again["utility_r2"] == pytest.approx(stages["judge"]["utility_r2"], abs=0.01)


def test_the_world_hears_its_captions() -> None:
    """What its makers asked of it: attributes that are seen, read and drawn, and flaws that leave room."""
    stages = read_json(builtin_weights("") / "manifest.json")["stages"]
    for model in ("tiny", "tiny-xl"):
        examined = stages[model]["examined"]["guidance 5"]
        assert examined["right"]["all"] >= 0.55
        assert min(examined["right"].values()) == examined["right"]["all"]
        assert all(
            share >= 0.75 for name, share in examined["right"].items() if name not in ("all", "binding")
        )
        assert examined["right"]["binding"] >= 0.65  # shape and colour of both things at once
        assert 0.05 < examined["middle"] < 0.6 and 0.05 < examined["fine"] < 0.6
    assert min(stages["judge"]["right"].values()) >= 0.9
    assert stages["judge"]["utility_r2"] >= 0.75
    for scorer, own, other in (("hps", "beauty", "pickscore"), ("pickscore", "faith", "hps")):
        assert stages[scorer][own]["votes"] > stages[other][own]["votes"]
        assert min(stages[scorer][scale] for scale in ("coarse", "middle", "fine")) > 0.6


RECIPE: dict[str, list[float]] = {
    "autoencoder": [1300, 0.0025, 0, 0.5098, 0.6004],
    "autoencoder-2": [980, 0.002, 0, 0.5098, 0.6004],
    "clip": [4000, 0.001, 0.998, 4.9714, 4.7518],
    "clip-vision": [3000, 0.001, 0.998, 5.0368, 4.8072],
    "hps": [2000, 0.0006, 0.99, 2.0724, 2.036],
    "pickscore": [2000, 0.0006, 0.99, 2.0183, 2.0214],
    "judge": [1800, 0.003, 0, 13.7722, 14.3645],
    "classifier": [500, 0.003, 0, 3.6193, 3.642],
    "tiny": [16000, 0.0015, 0.999, 1.1309, 1.1282],
    "tiny-xl": [5000, 0.001, 0.999, 1.1419, 1.1277],
}
"""Steps, peak rate, decay of the average, and the loss of the first two steps, of every training of the recipe."""
BANKS: dict[str, Any] = {
    "pretraining": (40000, True, "train"),
    "held out": (512, True, "validation"),
    "clip": (40000, False, "train"),
    "held out captions": (2000, False, "validation"),
    "choices held out": 2000,
    "choices training": 30000,
    "judged training": 50000,
    "judged held out": 2000,
    "judged": (2000, True, "validation"),
    "pretraining xl": (40000, True, "train"),
}
"""Sizes, and for scenes whether they have flaws and of which split they are."""


def test_the_recipe_is_the_one_that_the_shipped_weights_came_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every training is set up as it was, on banks of its size (drawn smaller here), and loses what it lost."""
    trainings: dict[str, list[float]] = {}
    banks: dict[str, Any] = {}

    def set_up(name: str, module: torch.nn.Module, loss_of_step: Callable[[int], Tensor], **how: Any) -> None:
        assert (how.pop("folder") == tmp_path / "scratch") and not how.keys() - {
            "steps",
            "learning_rate",
            "ema_decay",
        }
        with torch.no_grad():
            losses = [float(loss_of_step(step)) for step in range(2)]
        trainings[name] = [how["steps"], how["learning_rate"], how.get("ema_decay", 0.998), *losses]

    def bank(name: str, size: int, flawed: bool = True, split: str | None = "train") -> Bank:
        banks[name] = (size, flawed, split)
        return make_bank(name, 128, flawed, split)

    def judged(name: str, size: int) -> list[Scene]:
        banks[f"judged {name}"] = size
        return judged_scenes(name, 128)

    def choices(encoder: Any, name: str, size: int, cache: Path) -> scorers.Choices:
        banks[f"choices {name}"] = size
        return make_choices(encoder, name, 64, cache)

    make_choices, judged_scenes = scorers.make_choices, judging.judged_scenes
    monkeypatch.setattr(scorers, "make_choices", choices)
    monkeypatch.setattr(judging, "judged_scenes", judged)
    for module, measure in ((scorers, "agreement"), (judging, "agreement"), (judging, "examine")):
        monkeypatch.setattr(module, measure, lambda *_, **__: {})  # the other tests'
    monkeypatch.setattr(clip, "zero_shot", lambda *_: {})
    monkeypatch.setattr(recipe, "held_out_accuracy", lambda _: 0)
    monkeypatch.setattr(recipe, "make_bank", bank)
    for module in (autoencoder, clip, scorers, judging, pretraining, classifier):
        monkeypatch.setattr(module, "fit", set_up)
    build(tmp_path)
    assert banks == BANKS
    assert trainings.keys() == RECIPE.keys()
    for name, expected in RECIPE.items():
        assert trainings[name] == pytest.approx(expected, rel=2e-3), name
    for file in sorted(builtin_weights("").rglob("*.json")):
        if file.name not in ("manifest.json", "tokenizer_config.json"):
            ours, shipped = (
                described(folder / file.relative_to(builtin_weights("")))
                for folder in (tmp_path, builtin_weights(""))
            )
            assert ours == shipped, file


def described(file: Path) -> Any:
    """A JSON file without what a version of a library or the training itself writes into it."""
    found = read_json(file)
    return {key: value for key, value in found.items() if key not in VARYING}


VARYING = {"_diffusers_version", "transformers_version", "_name_or_path", "scaling_factor"}


@pytest.mark.parametrize("restored", [-3.0, -0.5, 0.25, 2.0])
def test_the_peak_signal_to_noise_ratio(restored: float) -> None:
    """Of pictures from 0 to 1, in which the autoencoder's values end at -1 and 1."""

    class Constant:
        def encode(self, pixels: Tensor) -> SimpleNamespace:
            return SimpleNamespace(latent_dist=SimpleNamespace(mean=pixels))

        def decode(self, latents: Tensor) -> SimpleNamespace:
            return SimpleNamespace(sample=torch.full_like(latents, restored))

    bank = make_bank("psnr", 600)
    shown = bank.pictures[:512].double() / 255
    errors = (shown - (min(max(restored, -1), 1) + 1) / 2).square().flatten(1).mean(1)
    expected = (10 * (1 / errors).log10()).mean()
    assert autoencoder.reconstruction_psnr(Constant(), bank) == pytest.approx(float(expected), rel=1e-5)  # type: ignore[arg-type]


def test_the_sheet_of_the_world_shows_every_flaw_and_pairs() -> None:
    flaws = show._flaws(0)
    assert [text.split(":")[0] for _, text in flaws] == [*COARSE, *MIDDLE, *FINE]
    assert all("background" in text and len(pictures) == 1 for pictures, text in flaws)
    assert [len(pictures) for pictures, _ in show._clean(0)] == [1] * 12
    for (pictures, text), pair in zip(show._pairs(0), world_pairs(40), strict=False):
        assert text == pair.prompt
        for picture, kept in zip(pictures, (pair.chosen, pair.rejected), strict=True):
            assert np.array_equal(picture, Image.open(io.BytesIO(kept)))
