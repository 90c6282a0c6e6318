"""The files beside sampled images, what makes two sets of images comparable, and how a prompt is named."""

from __future__ import annotations

from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_text

PROTOCOL, METADATA, CONTACT_SHEET = "protocol.json", "metadata.jsonl", "contact-sheet.png"

COMPARED = (
    "prompt_set",
    "prompts_sha256",
    "num_prompts",
    "images_per_prompt",
    "sampler",
    "steps",
    "guidance_scale",
    "seed",
    "resolution",
)
"""The keys of protocol.json that must agree before two scores are compared. The model is not among them."""


def clean_prompt(text: str) -> str:
    """A prompt without line breaks, repeated spaces and spaces at its ends: how every room writes it."""
    return " ".join(text.split())


def prompt_id(prompt: str) -> str:
    """The first 12 hexadecimal digits of the prompt's SHA-256."""
    return sha256_text(prompt)[:12]


def protocol_differences(left: dict[str, Any], right: dict[str, Any]) -> list[str]:
    """One phrase for each key of `COMPARED` on which two protocols disagree; none if comparable."""
    return [
        f"{key} {left.get(key)!r} and {right.get(key)!r}"
        for key in COMPARED
        if left.get(key) != right.get(key)
    ]


def require_same_protocol(
    left: dict[str, Any], right: dict[str, Any], left_name: str, right_name: str
) -> None:
    """Refuse to compare what was made under different protocols.

    Raises:
        UserError: names every difference.
    """
    differences = protocol_differences(left, right)
    if differences:
        raise UserError(
            f"{left_name} and {right_name} were made under different protocols ({'; '.join(differences)}). "
            "Sample one of them again with the settings of the other."
        )
