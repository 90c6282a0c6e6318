"""`ddecli world build`: the recipe that made the shipped weights, stage by stage, resumable at every point."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_folder, make_folder, read_json, sha256_file, write_json
from ddecli.core.manifest import machine, versions
from ddecli.tinyworld import pretraining, scorers
from ddecli.tinyworld.annotators import BEAUTY, FAITH, Annotators
from ddecli.tinyworld.autoencoder import encode_bank, reconstruction_psnr, train_autoencoder
from ddecli.tinyworld.bank import Bank, make_bank
from ddecli.tinyworld.classifier import held_out_accuracy, train_classifier
from ddecli.tinyworld.tokenizer import train_tokenizer

BANK_SIZE = 40_000
CHOICES = 8_000
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Workshop:
    """Where a build works, and how long: `scale` shortens every stage (the tests build with a few steps)."""

    folder: Path
    scale: float = 1.0

    @property
    def scratch(self) -> Path:
        """Checkpoints of stages under way and parts that are not shipped."""
        return self.folder / "scratch"

    def steps(self, full: int) -> int:
        """Training steps of a stage that takes `full` in the real build."""
        return max(2, round(full * self.scale))

    def bank(self, name: str, flawed: bool = True) -> Bank:
        """A bank of drawn scenes."""
        return make_bank(name, max(256, round(BANK_SIZE * self.scale)), flawed)

    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer made by the first stage."""
        return CLIPTokenizer.from_pretrained(self.scratch / "tokenizer")

    def autoencoder(self) -> AutoencoderKL:
        """The autoencoder made by its stage."""
        return AutoencoderKL.from_pretrained(self.scratch / "autoencoder").eval()

    def choices(self, name: str = "training", size: int = CHOICES) -> scorers.Choices:
        """Choices that the preference scorers learn from, or are judged by."""
        cache = self.scratch / f"pictures {name}.safetensors"
        return scorers.make_choices(self.autoencoder(), name, max(64, round(size * self.scale)), cache)

    def keep(self, name: str, made: Any) -> None:
        """Save what a stage made among the parts that are not shipped."""
        with atomic_folder(self.scratch / name) as folder:
            made.save_pretrained(folder)

    def clip(self, stage: str = "clip") -> CLIPModel:
        """The CLIP of a stage, float32."""
        return CLIPModel.from_pretrained(self.scratch / stage)


def build_tokenizer(shop: Workshop) -> None:
    """Stage `tokenizer`."""
    shop.keep("tokenizer", train_tokenizer())


def build_autoencoder(shop: Workshop) -> dict[str, Any]:
    """Stage `autoencoder`."""
    autoencoder = train_autoencoder(shop.bank("pretraining"), shop.steps(2280), shop.scratch)
    shop.keep("autoencoder", autoencoder)
    return {"psnr_db": reconstruction_psnr(autoencoder, make_bank("held out", 512, split="validation"))}


def build_clip(shop: Workshop) -> dict[str, Any]:
    """Stage `clip`."""
    clip = scorers.train_clip(
        shop.tokenizer(), shop.bank("clip", flawed=False), shop.steps(1500), shop.scratch
    )
    shop.keep("clip", clip)
    return _ship_scorer(shop, "clip", clip)


def build_choices(shop: Workshop) -> None:
    """Stage `choices`: the fine-tuning that the three scorers of flaws share."""
    clip = shop.clip()
    scorers.train_preference_scorer(
        "choices", clip, shop.tokenizer(), shop.choices(), (BEAUTY, FAITH), shop.steps(1100), shop.scratch
    )
    shop.keep("choices", clip)


def build_hps(shop: Workshop) -> dict[str, Any]:
    """Stage `hps`."""
    return _build_preference_scorer(shop, "hps", BEAUTY)


def build_pickscore(shop: Workshop) -> dict[str, Any]:
    """Stage `pickscore`."""
    return _build_preference_scorer(shop, "pickscore", FAITH)


def _build_preference_scorer(shop: Workshop, name: str, group: Annotators) -> dict[str, Any]:
    clip = shop.clip("choices")
    scorers.train_preference_scorer(
        name, clip, shop.tokenizer(), shop.choices(), (group,), shop.steps(150), shop.scratch
    )
    return _ship_scorer(shop, name, clip)


def build_truth(shop: Workshop) -> dict[str, Any]:
    """Stage `truth`."""
    clip = shop.clip("choices")
    scorers.train_truth(clip, shop.tokenizer(), shop.choices(), shop.steps(200), shop.scratch)
    return _ship_scorer(shop, "truth", clip)


def _ship_scorer(shop: Workshop, name: str, clip: CLIPModel) -> dict[str, Any]:
    with atomic_folder(shop.folder / name) as folder:
        clip.to(torch.float16).save_pretrained(folder)
        shop.tokenizer().save_pretrained(folder)
        scorers.new_image_processor().save_pretrained(folder)
    return scorers.agreement(clip.float(), shop.tokenizer(), shop.choices("held out", 512))


def build_classifier(shop: Workshop) -> dict[str, Any]:
    """Stage `classifier`."""
    classifier = train_classifier(shop.autoencoder(), shop.steps(500), shop.scratch)
    measured = {"accuracy": held_out_accuracy(classifier)}
    with atomic_folder(shop.folder / "classifier") as folder:
        classifier.to(torch.float16).save_pretrained(folder)
    return measured


def build_tiny(shop: Workshop) -> None:
    """Stage `tiny`."""
    bank, tokenizer, autoencoder = shop.bank("pretraining"), shop.tokenizer(), shop.autoencoder()
    denoiser = pretraining.new_tiny(tokenizer)
    latents = encode_bank(autoencoder, bank)
    for cycle, steps, rate in (("tiny", 1500, 2e-3), ("tiny-2", 1800, 1.5e-3)):
        pretraining.pretrain(cycle, denoiser, tokenizer, bank, latents, shop.steps(steps), rate, shop.scratch)
    with atomic_folder(shop.folder / "tiny") as folder:
        pretraining.save_tiny(denoiser, autoencoder, tokenizer, folder)


def build_tiny_xl(shop: Workshop) -> None:
    """Stage `tiny-xl`."""
    bank, tokenizer, autoencoder = shop.bank("pretraining xl"), shop.tokenizer(), shop.autoencoder()
    tiny = pretraining.new_tiny(tokenizer)
    folder = shop.folder / "tiny"
    tiny.unet.load_state_dict(type(tiny.unet).from_pretrained(folder / "unet").state_dict())
    tiny.text_encoder.load_state_dict(
        CLIPTextModel.from_pretrained(folder / "text_encoder").float().state_dict()
    )
    denoiser = pretraining.new_tiny_xl(tiny, shop.clip())
    latents = encode_bank(autoencoder, bank)
    pretraining.pretrain("tiny-xl", denoiser, tokenizer, bank, latents, shop.steps(400), 7e-4, shop.scratch)
    with atomic_folder(shop.folder / "tiny-xl") as folder:
        pretraining.save_tiny_xl(denoiser, autoencoder, tokenizer, folder)


STAGES: dict[str, Callable[[Workshop], dict[str, Any] | None]] = {
    "tokenizer": build_tokenizer,
    "autoencoder": build_autoencoder,
    "clip": build_clip,
    "tiny": build_tiny,
    "choices": build_choices,
    "hps": build_hps,
    "pickscore": build_pickscore,
    "truth": build_truth,
    "classifier": build_classifier,
    "tiny-xl": build_tiny_xl,
}
SHIPPED = ("tiny", "tiny-xl", "clip", "hps", "pickscore", "truth", "classifier")


def build(folder: Path, scale: float = 1.0, stages: list[str] | None = None) -> None:
    """Build the world, or some stages of it, in `folder`; finished stages are not done again.

    Writes manifest.json: every shipped file's SHA-256, each stage's time and measurements, versions and machine.

    Raises:
        UserError: unknown stage.
    """
    unknown = [stage for stage in stages or [] if stage not in STAGES]
    if unknown:
        raise UserError(f"Unknown stage {unknown[0]!r}; choose from {', '.join(STAGES)}.")
    shop = Workshop(make_folder(folder), scale)
    for stage in stages or STAGES:
        record = shop.scratch / f"{stage}.json"
        if record.exists():
            console.print(f"{stage}: done before")
            continue
        began = time.monotonic()
        measured = STAGES[stage](shop) or {}
        write_json(record, {"seconds": round(time.monotonic() - began), "scale": scale} | measured)
        console.print(f"{stage}: {read_json(record)}")
    records = {
        stage: read_json(shop.scratch / f"{stage}.json")
        for stage in STAGES
        if (shop.scratch / f"{stage}.json").exists()
    }
    files = sorted(path for name in SHIPPED for path in (folder / name).rglob("*") if path.is_file())
    write_json(
        folder / MANIFEST,
        {
            "command": f"ddecli world build --out DIR --scale {scale:g}",
            "stages": records,
            "versions": versions(),
            "machine": machine(),
            "sha256": {path.relative_to(folder).as_posix(): sha256_file(path) for path in files},
        },
    )
