"""The files beside sampled images, and how a prompt is written and named in them."""

from __future__ import annotations

from ddecli.core.files import sha256_text

PROTOCOL, METADATA, CONTACT_SHEET = "protocol.json", "metadata.jsonl", "contact-sheet.png"
LOGITS = "inception-logits"
"""The folder that `ddecli inception` leaves beside images."""
BESIDE = "beside-"
"""Begins the name of a sheet on which the images of two folders stand side by side."""


def clean_prompt(text: str) -> str:
    """A prompt without line breaks, repeated spaces and spaces at its ends: how every room writes it."""
    return " ".join(text.split())


def prompt_id(prompt: str) -> str:
    """The first 12 hexadecimal digits of the prompt's SHA-256."""
    return sha256_text(prompt)[:12]
