"""Which world pictures belong to: the built-in tiny one, or none, as real photographs and their models.

A model of the world says so in its model_index.json, samples in their protocol.json. It is recorded, never
concluded from a size: a small model of one's own is no model of the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TINY = "tiny"
WORLD_KEY = "_world"
"""Of a model_index.json; diffusers leaves keys alone that begin with an underscore."""

WORLD_PIXELS = 32
"""Width and height of the tiny world's pictures, in pixels."""

SMALL_PIXELS = 64
"""A model of pictures of at most this size runs whole batches at once. It decides about speed only."""


def world_of(protocol: Mapping[str, Any]) -> str | None:
    """The world of sampled pictures. Protocols of earlier versions do not say it: there the size tells."""
    if "world" in protocol:
        return protocol["world"]
    return TINY if protocol.get("resolution") == WORLD_PIXELS else None
