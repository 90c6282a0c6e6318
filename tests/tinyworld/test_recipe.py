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
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer, ResNetForImageClassification

from ddecli.core.files import read_json
from ddecli.models.presets import builtin_weights
from ddecli.tinyworld import autoencoder, classifier, pretraining, scorers, show
from ddecli.tinyworld import build as recipe
from ddecli.tinyworld.bank import Bank, make_bank
from ddecli.tinyworld.build import build
from ddecli.tinyworld.classifier import held_out_accuracy
from ddecli.tinyworld.pairs import world_pairs
from ddecli.tinyworld.scenes import COARSE, FINE, MIDDLE


def test_the_shipped_scorers_judge_as_was_measured_when_they_were_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The figures of the manifest, measured again on the same held-out scenes."""
    stages = read_json(builtin_weights("") / "manifest.json")["stages"]
    network = ResNetForImageClassification.from_pretrained(builtin_weights("classifier"), dtype=torch.float32)
    assert held_out_accuracy(network) == pytest.approx(stages["classifier"]["accuracy"], abs=0.005)
    monkeypatch.setattr(scorers, "through_autoencoder", lambda _, pictures: pictures.contiguous())
    held_out = scorers.make_choices(None, "held out", 512, tmp_path / "pictures.safetensors")
    for name in ("truth",):
        folder = builtin_weights(name)
        clip = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        found = scorers.agreement(clip, CLIPTokenizer.from_pretrained(folder), held_out)
        assert found == pytest.approx({key: stages[name][key] for key in found}, abs=0.005)


RECIPE: dict[str, list[float]] = {
    "autoencoder": [1300, 0.0025, 0, 0.5098, 0.6004],
    "autoencoder-2": [980, 0.002, 0, 0.5098, 0.6004],
    "clip": [1500, 0.001, 0.998, 5.2882, 5.4146],
    "tiny": [1500, 0.002, 0, 1.1196, 1.1239],
    "tiny-2": [1800, 0.0015, 0, 1.1184, 1.1235],
    "choices": [1100, 0.0006, 0.98, 2.0733, 2.0243],
    "hps": [150, 0.0006, 0.98, 2.0724, 2.036],
    "pickscore": [150, 0.0006, 0.98, 2.0183, 2.0214],
    "truth": [200, 0.0006, 0.98, 5.435, 5.0815],
    "classifier": [500, 0.003, 0, 3.6193, 3.642],
    "tiny-xl": [400, 0.0007, 0, 1.1253, 1.1281],
}
"""Steps, peak rate, decay of the average, and the loss of the first two steps, of every training of the recipe."""
BANKS: dict[str, Any] = {
    "pretraining": (40000, True, "train"),
    "held out": (512, True, "validation"),
    "clip": (40000, False, "train"),
    "choices held out": 512,
    "choices training": 8000,
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

    def choices(encoder: Any, name: str, size: int, cache: Path) -> scorers.Choices:
        banks[f"choices {name}"] = size
        return make_choices(encoder, name, 64, cache)

    make_choices = scorers.make_choices
    monkeypatch.setattr(scorers, "make_choices", choices)
    monkeypatch.setattr(scorers, "agreement", lambda *_: {})  # the other test's
    monkeypatch.setattr(recipe, "held_out_accuracy", lambda _: 0)
    monkeypatch.setattr(recipe, "make_bank", bank)
    for module in (autoencoder, scorers, pretraining, classifier):
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
