"""The parts of a diffusers folder and the files they are loaded from: one answer for loading, hashing and saving.

A folder may hold weights several times (.safetensors and .bin, half precision beside full, formats of other programs)
and much that belongs to no part. Of each part one set of weights is taken, the one that diffusers and transformers take
when they are told nothing: .safetensors before .bin. Half precision is taken where there is nothing else.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_json, write_json
from ddecli.core.world import WORLD_KEY

INDEX = "model_index.json"
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
NETWORKS = ("unet", "vae", *TEXT_ENCODERS)
TOKENIZERS = ("tokenizer", "tokenizer_2")
PARTS = (*NETWORKS, *TOKENIZERS, "scheduler")
"""All parts that training and sampling use; a pipeline may name others, such as a safety checker (1.2 GB)."""

UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that the pipelines' classes may have besides."""

NETWORK_FILES = ("config.json",)
TOKENIZER_FILES = (
    "tokenizer_config.json", "tokenizer.json", "vocab.json", "merges.txt", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
SCHEDULER_FILES = ("scheduler_config.json",)
VARIANTS = ("", "fp16", "bf16")
"""Precisions that repositories name their files after, in the order in which they are taken."""


def settings_files(part: str) -> tuple[str, ...]:
    """Names of a part's configuration and vocabularies."""
    if part in NETWORKS:
        return NETWORK_FILES
    return SCHEDULER_FILES if part == "scheduler" else TOKENIZER_FILES


def weight_file(part: str, names: Collection[str]) -> str | None:
    """Which of the files in a network's folder its weights are loaded from: one file, or the index of several.

    Args:
        part: one of `NETWORKS`.
        names: of the files in its folder.

    Returns:
        None if there are no weights.
    """
    for variant in VARIANTS:
        for plain in _weight_names(part):
            for name in _named_after(variant, plain):
                if name in names:
                    return name
    return None


def loaded_files(folder: Path, part: str) -> dict[str, Path]:
    """The files that a part is loaded from, by the names that diffusers and transformers look for.

    Args:
        folder: of the pipeline.
        part: one of `PARTS`.

    Raises:
        UserError: the index of its weights is damaged.
    """
    own = folder / part
    found = {name: own / name for name in settings_files(part) if (own / name).is_file()}
    return found | (_weights(own, part) if part in NETWORKS else {})


def needed_files(names: Collection[str], parts: Collection[str] = PARTS) -> list[str]:
    """Of all files of a repository, those that parts are loaded from, and the pipeline's index."""
    needed = [INDEX] if INDEX in names else []
    for part in parts:
        own = {name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")}
        chosen = [name for name in settings_files(part) if name in own]
        found = weight_file(part, own) if part in NETWORKS else None
        if found is not None:
            chosen += [found, *_shards(part, found, own)]
        needed += [f"{part}/{name}" for name in chosen]
    return needed


def is_whole(folder: Path, parts: Collection[str] | None = None) -> bool:
    """Whether every part is there that the folder's index names, or those of `parts` alone."""
    named = parts or parts_of(folder)
    return all(
        all(file.is_file() for file in loaded_files(folder, part).values())
        and any((folder / part / name).is_file() for name in settings_files(part))
        and (part not in NETWORKS or bool(weights_of(folder, part)))
        for part in named
    )


def weights_of(folder: Path, part: str) -> list[Path]:
    """The files of a network's weights, one or several; none if there are none.

    Raises:
        UserError: see `loaded_files`.
    """
    return [file for name, file in _weights(folder / part, part).items() if not name.endswith(".json")]


def parts_of(folder: Path) -> tuple[str, ...]:
    """The parts that a pipeline's index names, of those that are used here.

    Raises:
        UserError: the index is missing or damaged.
    """
    index = read_index(folder)
    return tuple(part for part in PARTS if _is_named(index, part))


def read_index(folder: Path) -> dict[str, Any]:
    """A folder's model_index.json.

    Raises:
        UserError: it is missing or damaged.
    """
    index = read_json(folder / INDEX, dict[str, Any], "fetch the model again")
    for name in ("_class_name", WORLD_KEY):
        if not isinstance(index.get(name), str | None):
            raise UserError(f"{folder / INDEX} is damaged ({name} is no text); fetch the model again.")
    return index


def used_index(folder: Path) -> dict[str, Any]:
    """The index of a folder that holds the parts that are used, and no other; what a class could have more is null."""
    index = read_index(folder)
    kept = {name: value for name, value in index.items() if name in PARTS or not isinstance(value, list)}
    unused = {name: [None, None] for name in UNUSED if name in index}
    return kept | unused | ({"requires_safety_checker": False} if "safety_checker" in index else {})


@contextlib.contextmanager
def plain_folder(folder: Path) -> Iterator[Path]:
    """A folder of links that holds what is loaded, under plain names, and nothing else: for as long as the block lasts.

    Raises:
        UserError: see `loaded_files`, or no index.
    """
    with tempfile.TemporaryDirectory(prefix="ddecli-model-") as name:
        plain = Path(name)
        write_json(plain / INDEX, used_index(folder))
        for part in parts_of(folder):
            if (folder / part).is_dir():
                (plain / part).mkdir()
                for file_name, file in loaded_files(folder, part).items():
                    (plain / part / file_name).symlink_to(file.resolve())
        yield plain


def _is_named(index: dict[str, Any], part: str) -> bool:
    entry = index.get(part)
    return isinstance(entry, list) and bool(entry) and entry[0] is not None


def _weight_names(part: str) -> tuple[str, ...]:
    """Plain names of a network's weights in the order in which its library looks for them."""
    if part in TEXT_ENCODERS:
        return (
            "model.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
            "pytorch_model.bin.index.json",
        )
    stem = "diffusion_pytorch_model"
    return (f"{stem}.safetensors.index.json", f"{stem}.safetensors", f"{stem}.bin", f"{stem}.bin.index.json")


def _named_after(variant: str, plain: str) -> tuple[str, ...]:
    """What a file of this plain name is called in a precision; indices have been called in two ways."""
    if not variant:
        return (plain,)
    if plain.endswith(".index.json"):
        weights = plain.removesuffix(".index.json")
        return (f"{weights}.index.{variant}.json", f"{weights}.{variant}.index.json")
    stem, _, ending = plain.rpartition(".")
    return (f"{stem}.{variant}.{ending}",)


def _plain_name(part: str, found: str) -> tuple[str, str]:
    """The plain name of a file that `weight_file` chose, and the precision it is named after."""
    return next(
        (plain, variant)
        for plain in _weight_names(part)
        for variant in VARIANTS
        if found in _named_after(variant, plain)
    )


def _shards(part: str, found: str, names: Collection[str]) -> list[str]:
    """Names of the files that an index lists, by how they are called: the index itself need not be there yet."""
    plain, variant = _plain_name(part, found)
    stem, _, ending = plain.removesuffix(".index.json").rpartition(".")
    if not plain.endswith(".index.json"):
        return []
    named = rf"\.{variant}" if variant else ""
    number = r"-\d+-of-\d+"
    pattern = re.compile(rf"{stem}(?:{named}{number}|{number}{named})\.{ending}")
    return sorted(name for name in names if pattern.fullmatch(name))


def _weights(own: Path, part: str) -> dict[str, Path]:
    """A network's files of weights, and their index, by plain names."""
    names = {file.name for file in own.iterdir() if file.is_file()} if own.is_dir() else set()
    found = weight_file(part, names)
    if found is None:
        return {}
    plain, _ = _plain_name(part, found)
    if not plain.endswith(".json"):
        return {plain: own / found}
    index = read_json(own / found)
    try:
        shards = sorted(set(index["weight_map"].values()))
        if not all(isinstance(shard, str) and Path(shard).name == shard for shard in shards):
            raise ValueError("a shard that is no file beside it")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{own / found} is damaged ({error!r}): it lists no files of weights.") from error
    return {plain: own / found} | {shard: own / shard for shard in shards}
