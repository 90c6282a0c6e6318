"""Training with the noise that pictures were drawn from (`ddecli train --noise kept`)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_checks import assert_one_sentence
from diffusers import StableDiffusionPipeline
from torch import Tensor

from ddecli.core.protocol import prompt_id
from ddecli.data.store import PairStore
from ddecli.training.settings import resolve_settings
from ddecli.training.trainer import Trainer

Run = Callable[..., Any]
UNET = "model/unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def drawn(ddecli: Run, world_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Tensor]]:
    """Pairs of a scored sample, and the noise that the stock pipeline was given for each image of a prompt."""
    given: dict[str, list[Tensor]] = {}
    call = StableDiffusionPipeline.__call__

    def spy(self: Any, *args: Any, **options: Any) -> Any:
        for prompt, latents in zip(options["prompt"], options["latents"], strict=True):
            given.setdefault(prompt_id(prompt), []).append(latents.clone())
        return call(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(StableDiffusionPipeline, "__call__", spy)
        typed = ddecli(
            "prepare", "--model", world_folder, "--generate", 3, "--prompts", "world:train", "--num-prompts", 5,
            "--relabel", "clip", "--pairs", "all", "--out", "pairs", "--device", "cpu",
        )  # fmt: skip
    assert typed.code == 0, typed.error
    return given


@pytest.fixture
def train(ddecli: Run, world_folder: Path) -> Run:
    def typed(*words: object, data: object = "pairs", out: str = "run", loss: str = "uniform") -> Any:
        return ddecli(
            "train", "--model", world_folder, "--data", data, "--loss", loss, "--steps", 3, "--batch-size", 4,
            "--micro-batch-size", 4, "--lr", 1e-3, "--beta", 50, "--out", out, "--device", "cpu", *words,
        )  # fmt: skip

    return typed


def test_each_picture_has_the_noise_that_sampling_used(
    drawn: dict[str, list[Tensor]], world_folder: Path
) -> None:
    settings = resolve_settings(
        {"model": str(world_folder), "data": "pairs", "loss": "uniform", "steps": 2, "batch_size": 8, "lr": 1e-4,
         "micro_batch_size": 8, "device": "cpu", "noise": "kept", "out": "run"}
    )  # fmt: skip
    trainer = Trainer(settings)
    numbers = range(8)
    batch = trainer.batches(numbers)
    pairs = [trainer.store.pair(int(row)) for row in trainer.batches.draws.batch(numbers).pair_index]
    winners, losers = batch.eps.chunk(2)
    for pair, winner, loser in zip(pairs, winners, losers, strict=True):
        prompt, _, images = pair.pair_id.split(":")
        better, worse = map(int, images.split(">"))
        assert torch.equal(winner, drawn[prompt][better]) and torch.equal(loser, drawn[prompt][worse])
        assert not torch.equal(winner, loser)
    fresh = Trainer(settings.model_copy(update={"noise": "fresh"})).batches(numbers)
    assert torch.equal(*fresh.eps.chunk(2))  # one noise for both
    for name in ("latents", "t", "sizes"):  # all else is as it was
        assert torch.equal(getattr(fresh, name), getattr(batch, name))


def test_it_trains_and_keeps_the_references_errors_apart(drawn: dict[str, list[Tensor]], train: Run) -> None:
    for out, words in (("fresh", ()), ("kept", ("--noise", "kept")), ("again", ("--noise", "kept"))):
        typed = train(*words, out=out)
        assert typed.code == 0, typed.error
    first = [json.loads(Path(out, "metrics.jsonl").read_text().splitlines()[0]) for out in ("fresh", "kept")]
    assert [each["loss"] for each in first] == pytest.approx([0.6931471824645996] * 2, abs=1e-7)
    assert first[0]["error_policy_w"] != first[1]["error_policy_w"]
    weights = {out: Path(out, UNET).read_bytes() for out in ("fresh", "kept", "again")}
    assert (
        weights["kept"] == weights["again"] != weights["fresh"]
    )  # the last one read what the second one kept
    keys = [json.loads(file.read_text()) for file in Path("pairs-reference").glob("*/key.json")]
    assert sorted(key.get("noise", "fresh") for key in keys) == ["fresh", "kept"]


def test_what_does_not_know_its_noise_is_refused(
    drawn: dict[str, list[Tensor]], train: Run, ddecli: Run, sd_store: Path, sd_folder: Path
) -> None:
    assert_one_sentence(
        train("--noise", "kept", "--model", sd_folder, data=sd_store), "does not know the noise"
    )
    assert_one_sentence(
        train("--noise", "kept", loss="spin"), "--noise kept: nobody knows the noise of the winners"
    )
    assert PairStore.open(Path("pairs")).manifest["drawn"] == {"family": "sd", "resolution": 32}
    from ddecli.core.sealed import write_sealed

    manifest = json.loads(Path("pairs/manifest.json").read_text())
    del manifest["content_sha256"]
    write_sealed(Path("pairs/manifest.json"), manifest | {"drawn": {"family": "sd", "resolution": 64}})
    assert_one_sentence(
        train("--noise", "kept"), "drawn by a model of the family sd at 64 pixels", "sd at 32 pixels"
    )
