"""The files beside sampled images, and how a prompt is written and named in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text
from ddecli.core.sealed import read_sealed
from ddecli.core.seeds import seed_of

PROTOCOL, METADATA, CONTACT_SHEET = "protocol.json", "metadata.jsonl", "contact-sheet.png"
LOGITS = "inception-logits"
"""The folder that `ddecli inception` leaves beside images."""
BESIDE = "beside-"
"""Begins the name of a sheet on which the images of two folders stand side by side."""
OF_LISTING = ("prompts_sha256", "num_prompts", "images_per_prompt")
"""Keys of a protocol that say which images there are."""
DDIM, LEADING = "DDIM (eta 0)", "leading"
"""The sampler, and the spacing of its timesteps that Stable Diffusion and the tiny models say in their schedulers."""
SAMPLE_AGAIN = "run the same `ddecli sample` command again to complete it"


def clean_prompt(text: str) -> str:
    """A prompt without line breaks, repeated spaces and spaces at its ends: how every room writes it."""
    return " ".join(text.split())


def prompt_id(prompt: str) -> str:
    """The first 12 hexadecimal digits of the prompt's SHA-256."""
    return sha256_text(prompt)[:12]


def image_name(prompt_id: str, image_index: int) -> str:
    """The file of an image: its prompt's id and its number, as in "0123456789ab-00.png"."""
    return f"{prompt_id}-{image_index:02d}.png"


def image_seed(prompt: str, image_index: int, seed: int | str) -> int:
    """Seed of the CPU generator that an image's starting noise is drawn from.

    The first 63 bits of the SHA-256 of "image", the sample's seed, the prompt's id (12 hexadecimal digits of its own
    SHA-256) and the image's number, joined by the separator U+001F.
    """
    return seed_of("image", seed, prompt_id(prompt), image_index)


def drawn_with(protocol: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the noise of a sample's images depends on beside their seeds: the model's family and the resolution; None
    where the seeds are not known."""
    if not isinstance(protocol.get("seed"), int):
        return None
    model = protocol.get("model")
    family = model.get("family") if isinstance(model, dict) else None
    return {"family": family, "resolution": protocol.get("resolution")}


def prompts_sha256(prompts: Sequence[str]) -> str:
    """SHA-256 of prompts in order, one a line: what a protocol says of them."""
    return sha256_text("\n".join(prompts))


def is_sample(folder: Path) -> bool:
    """Whether a folder is one of `ddecli sample`, finished or not, and not one that has somebody else's protocol.

    Raises:
        UserError: the protocol is damaged.
    """
    return (folder / PROTOCOL).is_file() and all(key in read_protocol(folder) for key in OF_LISTING)


def read_protocol(folder: Path) -> dict[str, Any]:
    """The protocol of a sample folder.

    Raises:
        UserError: it is missing, damaged, or was changed since it was written.
    """
    return read_sealed(folder / PROTOCOL, "sample the images again with --overwrite")


def spacing_of(protocol: Mapping[str, Any]) -> str | None:
    """How DDIM's timesteps were spaced; None for other samplers. Protocols of earlier versions do not say it: their
    models sampled as their own schedulers say, which is `leading` but for models of zero terminal SNR."""
    return protocol.get("spacing", LEADING if protocol.get("sampler") == DDIM else None)


def check_listing(folder: Path, protocol: dict[str, Any], listed: Sequence[tuple[str, str, int]]) -> None:
    """Compare the images that metadata.jsonl lists with those that the protocol tells of, in their order.

    Args:
        listed: of each image its file's name, prompt and number.

    Raises:
        UserError: one is missing, too many or another one.
    """
    if not all(key in protocol for key in OF_LISTING):  # somebody else's protocol
        return
    prompts = list(dict.fromkeys(prompt for _, prompt, _ in listed))
    digest, count, per_prompt = (protocol[key] for key in OF_LISTING)
    ids = {prompt: prompt_id(prompt) for prompt in prompts}
    is_whole = (len(prompts), len(listed), prompts_sha256(prompts)) == (
        count,
        len(prompts) * per_prompt,
        digest,
    )
    if not is_whole or list(listed) != [
        (image_name(ids[prompt], index), prompt, index) for prompt in prompts for index in range(per_prompt)
    ]:
        raise UserError(
            f"{folder / METADATA} does not list the {count} x {per_prompt} images "
            f"that {PROTOCOL} tells of: {SAMPLE_AGAIN}."
        )


def sampled_model(protocol: Mapping[str, Any]) -> str | None:
    """What images were sampled from, as --model named it: a built-in model, a folder (a run, say) or a hub id."""
    model = protocol.get("model")
    name = model.get("name") if isinstance(model, dict) else model
    return str(name) if name else None
