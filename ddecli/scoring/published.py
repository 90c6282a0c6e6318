"""Names of the metrics and where their models come from. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.models.presets import builtin_weights

CLIP_H = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
CLIP_L = "openai/clip-vit-large-patch14"
HPS = "xswu/HPSv2"
PICKSCORE = "yuvalkirstain/PickScore_v1"
IMAGE_REWARD = "THUDM/ImageReward"
BERT = "google-bert/bert-base-uncased"
HPSV3 = "MizzenAI/HPSv3"
QWEN2_VL = "Qwen/Qwen2-VL-7B-Instruct"
QWEN3_VL = "Qwen/Qwen3-VL-8B-Instruct"
CLIP_FILES = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
JUDGE_FILES = ("config.json", "preprocessor_config.json")
BERT_FILES = ("tokenizer_config.json", "tokenizer.json")
QWEN_FILES = ("config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json")
WORLD_WEIGHTS = builtin_weights("")
DEFAULT_METRICS = ("clip", "hps", "pickscore")
DIVERSITY = "diversity"
"""Computed beside `clip` from its image embeddings; not chosen by name."""


@dataclass(frozen=True)
class PublishedMetric:
    """A metric, and where its model is published.

    label: what tables and figures call it.
    summary: one line for the help text.
    hub_id: repository on the Hugging Face hub; None for what exists in the tiny world only.
    checkpoint: the file of that repository that holds the model as its authors save it (open_clip's CLIP,
        ImageReward's BLIP, HPSv3's Qwen2-VL with its head); None for a transformers folder.
    checkpoint_config: the file beside it with its architecture, where it comes with one.
    folder: what a folder in transformers' own form is that will do; None where only the checkpoint will.
    companion: the repository of what else is needed where `hub_id` lacks it.
    builtin: folder of the tiny world's weights, where it is not called as the metric is.
    companion_files: what that is: architecture, tokenizer and image processor of a model, or a tokenizer.
    """

    label: str
    summary: str
    hub_id: str | None
    checkpoint: str | None = None
    checkpoint_config: str | None = None
    folder: str | None = "a transformers CLIPModel folder"
    companion: str | None = None
    companion_files: tuple[str, ...] = CLIP_FILES
    builtin: str | None = None


METRICS = {
    "clip": PublishedMetric("CLIP", "CLIP score: cosine of picture and prompt (CLIP-H)", CLIP_H),
    "hps": PublishedMetric(
        "HPS",
        "HPS v2: cosine of a CLIP-H fine-tuned on people's choices",
        HPS,
        "HPS_v2_compressed.pt",
        companion=CLIP_H,
    ),
    "hps-v2.1": PublishedMetric(
        "HPS v2.1",
        "HPS v2.1: the same, trained on better choices; its scale is another one",
        HPS,
        "HPS_v2.1_compressed.pt",
        companion=CLIP_H,
    ),
    "hpsv3": PublishedMetric(
        "HPSv3",
        "HPSv3: the preference that a Qwen2-VL-7B reads off picture and prompt; 16 GB, for a GPU",
        HPSV3,
        "HPSv3.safetensors",
        folder=None,
        companion=QWEN2_VL,
        companion_files=QWEN_FILES,
    ),
    "pickscore": PublishedMetric(
        "PS",
        "PickScore v1: exp(logit_scale) x cosine of a CLIP-H fine-tuned on Pick-a-Pic, about 20",
        PICKSCORE,
        companion=CLIP_H,
    ),
    "imagereward": PublishedMetric(
        "ImageReward",
        "ImageReward v1.0: the standardised reward of a BLIP that reads picture and prompt, about -2 to 2",
        IMAGE_REWARD,
        "ImageReward.pt",
        "med_config.json",
        folder=None,
        companion=BERT,
        companion_files=BERT_FILES,
    ),
    "vqascore": PublishedMetric(
        "VQAScore",
        "VQAScore by Qwen3-VL: how probable yes is when it is asked whether the image shows the prompt; 18 GB, for a "
        "GPU",
        QWEN3_VL,
        folder="a Qwen3-VL folder as transformers saves it",
        companion_files=QWEN_FILES,
    ),
    "soft-tifa": PublishedMetric(
        "Soft-TIFA",
        "Soft-TIFA of GenEval 2 by Qwen3-VL: the questions of its list, and how probable their right answers are; "
        "18 GB, for a GPU",
        QWEN3_VL,
        folder="a Qwen3-VL folder as transformers saves it",
        companion_files=QWEN_FILES,
    ),
    "aesthetic": PublishedMetric(
        "Aesthetic",
        "LAION aesthetic predictor v2: a linear head on CLIP ViT-L/14, about 1 to 10, blind to the prompt",
        CLIP_L,
    ),
    "truth": PublishedMetric(
        "Truth",
        "Truth of the tiny world: the utility of a picture for its annotators, as a judge of flaws reads it",
        None,
        companion_files=JUDGE_FILES,
        builtin="judge",
    ),
    "attributes": PublishedMetric(
        "Attributes",
        "Whether all that a caption of the tiny world says is right, and each attribute by itself",
        None,
        companion_files=JUDGE_FILES,
        builtin="judge",
    ),
}


@dataclass(frozen=True)
class ScorerSource:
    """Where a scorer's model lies.

    label: the name its card shows.
    location: a local folder or checkpoint file, or a hub id.
    companion: folder or hub id of the preset's `companion_files`, where `location` lacks them.
    """

    label: str
    location: Path | str
    companion: Path | str | None = None


def check_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """The distinct names in order.

    Raises:
        UserError: a name is no metric.
    """
    names = tuple(dict.fromkeys(names))
    for name in names:
        if name not in METRICS:
            raise UserError(f"There is no metric {name!r}: choose from {', '.join(METRICS)}.")
    return names


def scorer_source(metric: str, scorer_set: str, folders: Mapping[str, Path] | None = None) -> ScorerSource:
    """Where the model of a metric lies: the folder given for it, the tiny world's weights, or the hub.

    A folder given for `clip` also serves the other metrics that need CLIP-H's tokenizer and image processor, one given
    for `vqascore` or `soft-tifa` both.

    Raises:
        UserError: the metric has no model in this set (`tiny` or `real`).
    """
    preset = METRICS[metric]
    folders = folders or {}
    companion: Path | str | None = preset.companion
    if companion == CLIP_H and "clip" in folders:
        companion = folders["clip"]
    judges = (name for name in folders if preset.hub_id == QWEN3_VL == METRICS[name].hub_id)
    given = metric if metric in folders else next(judges, None)
    if given is not None:
        return ScorerSource(folders[given].name, folders[given], companion)
    if scorer_set == "tiny":
        folder = WORLD_WEIGHTS / (preset.builtin or metric)
        if not folder.is_dir():
            raise UserError(
                f"The tiny world has no {metric}: leave it out, or take the real one with --scorer {metric}=FOLDER or, "
                "in ddecli score, --family real."
            )
        return ScorerSource(f"tiny/{folder.name}", folder)
    if preset.hub_id is None:
        raise UserError(
            f"No weights of {metric} are at hand: it exists for the tiny world only: leave it out, or, in "
            "ddecli score, use --family tiny."
        )
    return ScorerSource(preset.hub_id, preset.hub_id, companion)
