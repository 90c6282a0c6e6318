"""`ddecli world build`: the recipe that made the shipped weights, stage by stage, resumable at every point."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, StableDiffusionXLPipeline
from transformers import CLIPModel, CLIPTokenizer

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_folder, make_folder, read_json, sha256_file, write_json
from ddecli.core.manifest import machine, versions
from ddecli.tinyworld import clip, judging, pretraining, scorers
from ddecli.tinyworld.annotators import BEAUTY, FAITH, Annotators
from ddecli.tinyworld.autoencoder import encode_bank, reconstruction_psnr, train_autoencoder
from ddecli.tinyworld.bank import Bank, draw_bank, make_bank
from ddecli.tinyworld.classifier import held_out_accuracy, train_classifier
from ddecli.tinyworld.judge import SceneJudge
from ddecli.tinyworld.measured import MANIFEST
from ddecli.tinyworld.tokenizer import train_tokenizer

BANK_SIZE = 40_000
CHOICES = 30_000
JUDGED = 50_000
HELD_OUT = 2_000
GUIDANCES, STEPS = (2.0, 5.0), 15
"""At which the base models are examined."""


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
        return make_bank(name, self.size(BANK_SIZE), flawed)

    def size(self, full: int) -> int:
        """Scenes, or choices, where the real build has `full`."""
        return max(256, round(full * self.scale))

    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer made by the first stage."""
        return CLIPTokenizer.from_pretrained(self.scratch / "tokenizer")

    def autoencoder(self) -> AutoencoderKL:
        """The autoencoder made by its stage."""
        made = AutoencoderKL.from_pretrained(self.scratch / "autoencoder").eval()
        made.register_to_config(_name_or_path="")  # where it was built is nobody's business
        return made

    def choices(self, name: str = "training", size: int = CHOICES) -> scorers.Choices:
        """Choices that the preference scorers learn from, or are judged by."""
        cache = self.scratch / f"pictures {name}.safetensors"
        return scorers.make_choices(self.autoencoder(), name, self.size(size), cache)

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


def build_clip(shop: Workshop) -> None:
    """Stage `clip`: both sides; the text side is final, and `tiny`'s text encoder."""
    made = clip.new_clip(shop.tokenizer())
    _train_clip(shop, "clip", made, 4000)
    shop.keep("clip", made)


def build_clip_vision(shop: Workshop) -> dict[str, Any]:
    """Stage `clip-vision`: the vision side goes on alone."""
    made = shop.clip("clip")
    clip.freeze_text(made)
    _train_clip(shop, "clip-vision", made, 3000)
    shop.keep("clip-vision", made)
    return _ship_scorer(shop, "clip", made) | {"right": _zero_shot(shop, made)}


def _train_clip(shop: Workshop, stage: str, made: CLIPModel, steps: int) -> None:
    bank = shop.bank("clip", flawed=False)
    decoded = clip.through_autoencoder(shop.autoencoder(), bank.pictures)
    clip.train_clip(stage, made, shop.tokenizer(), bank, decoded, shop.steps(steps), 1e-3, shop.scratch)


def _zero_shot(shop: Workshop, made: CLIPModel) -> dict[str, float]:
    bank = make_bank("held out captions", shop.size(HELD_OUT), flawed=False, split="validation")
    decoded = clip.through_autoencoder(shop.autoencoder(), bank.pictures)
    return clip.zero_shot(made, shop.tokenizer(), [scene.description for scene in bank.scenes], decoded)


def build_hps(shop: Workshop) -> dict[str, Any]:
    """Stage `hps`."""
    return _build_preference_scorer(shop, "hps", BEAUTY)


def build_pickscore(shop: Workshop) -> dict[str, Any]:
    """Stage `pickscore`."""
    return _build_preference_scorer(shop, "pickscore", FAITH)


def _build_preference_scorer(shop: Workshop, name: str, group: Annotators) -> dict[str, Any]:
    made = shop.clip("clip-vision")
    scorers.train_preference_scorer(
        name, made, shop.tokenizer(), shop.choices(), group, shop.steps(2000), shop.scratch
    )
    return _ship_scorer(shop, name, made)


def build_judge(shop: Workshop) -> dict[str, Any]:
    """Stage `judge`: whose readings are `truth` and `attributes`."""
    bank = draw_bank("judge", judging.judged_scenes("training", shop.size(JUDGED)))
    judge = judging.train_judge(shop.autoencoder(), bank, shop.steps(1800), shop.scratch)
    with atomic_folder(shop.folder / "judge") as folder:
        judge.to(torch.float16).save_pretrained(folder)
        clip.new_image_processor().save_pretrained(folder)
    return judging.agreement(
        judge.float(),
        shop.autoencoder(),
        faithful=draw_bank("judge, held out", judging.judged_scenes("held out", shop.size(HELD_OUT))),
        flawed=make_bank("judged", shop.size(HELD_OUT), split="validation"),
    )


def _ship_scorer(shop: Workshop, name: str, made: CLIPModel) -> dict[str, Any]:
    with atomic_folder(shop.folder / name) as folder:
        made.to(torch.float16).save_pretrained(folder)
        shop.tokenizer().save_pretrained(folder)
        clip.new_image_processor().save_pretrained(folder)
    return scorers.agreement(made.float(), shop.tokenizer(), shop.choices("held out", HELD_OUT))


def build_classifier(shop: Workshop) -> dict[str, Any]:
    """Stage `classifier`."""
    classifier = train_classifier(shop.autoencoder(), shop.steps(500), shop.scratch)
    measured = {"accuracy": held_out_accuracy(classifier)}
    with atomic_folder(shop.folder / "classifier") as folder:
        classifier.to(torch.float16).save_pretrained(folder)
    return measured


def build_tiny(shop: Workshop) -> dict[str, Any]:
    """Stage `tiny`."""
    denoiser = pretraining.new_tiny(shop.clip("clip"))
    _pretrain(shop, "tiny", denoiser, 16_000, 1.5e-3)
    with atomic_folder(shop.folder / "tiny") as folder:
        pretraining.save_tiny(denoiser, shop.autoencoder(), shop.tokenizer(), folder)
    return _examine(shop, StableDiffusionPipeline.from_pretrained(shop.folder / "tiny", dtype=torch.float32))


def build_tiny_xl(shop: Workshop) -> dict[str, Any]:
    """Stage `tiny-xl`."""
    world_clip = shop.clip("clip")
    tiny = pretraining.new_tiny(world_clip)
    trained = type(tiny.unet).from_pretrained(shop.folder / "tiny" / "unet")
    tiny.unet.load_state_dict(trained.float().state_dict())
    denoiser = pretraining.new_tiny_xl(tiny, world_clip)
    _pretrain(shop, "tiny-xl", denoiser, 5000, 1e-3)
    with atomic_folder(shop.folder / "tiny-xl") as folder:
        pretraining.save_tiny_xl(denoiser, shop.autoencoder(), shop.tokenizer(), folder)
    return _examine(
        shop, StableDiffusionXLPipeline.from_pretrained(shop.folder / "tiny-xl", dtype=torch.float32)
    )


def _pretrain(shop: Workshop, name: str, denoiser: pretraining.Denoiser, steps: int, rate: float) -> None:
    bank = shop.bank("pretraining" if name == "tiny" else "pretraining xl")
    latents = encode_bank(shop.autoencoder(), bank)
    tokenizer = shop.tokenizer()
    pretraining.pretrain(name, denoiser, tokenizer, bank, latents, shop.steps(steps), rate, shop.scratch)


def _examine(shop: Workshop, pipeline: Any) -> dict[str, Any]:
    judge = SceneJudge.from_pretrained(shop.folder / "judge", dtype=torch.float32).eval()
    pipeline.set_progress_bar_config(disable=True)
    by_guidance = {
        f"guidance {scale:g}": judging.examine(pipeline, judge, scale, STEPS, shop.size(judging.EXAMINED))
        for scale in GUIDANCES
    }
    return {"examined": by_guidance}


STAGES: dict[str, Callable[[Workshop], dict[str, Any] | None]] = {
    "tokenizer": build_tokenizer,
    "autoencoder": build_autoencoder,
    "clip": build_clip,
    "clip-vision": build_clip_vision,
    "hps": build_hps,
    "pickscore": build_pickscore,
    "judge": build_judge,
    "classifier": build_classifier,
    "tiny": build_tiny,
    "tiny-xl": build_tiny_xl,
}
SHIPPED = ("tiny", "tiny-xl", "clip", "hps", "pickscore", "judge", "classifier")


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
