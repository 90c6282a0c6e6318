"""Which world pictures belong to: the built-in tiny one, or none, as real photographs and their models.

A model of the world says so in its model_index.json, samples in their protocol.json. It is recorded, never
concluded from a size: a small model of one's own is no model of the world.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddecli.core.errors import UserError

FIRST_EDITION, TINY = "tiny", "tiny-2"
"""Editions of the built-in world. Each has models and scorers of its own; `TINY` is the one in the package."""
WORLD_KEY = "_world"
"""Of a model_index.json; diffusers leaves keys alone that begin with an underscore."""

WORLD_PAIRS = 6000
"""Votes that are cast for the world's pairs if no other number is asked for; ties are no pairs."""

WORLD_PIXELS = 32
"""Width and height of the tiny world's pictures, in pixels."""

SMALL_PIXELS = 64
"""A model of pictures of at most this size runs whole batches at once. It decides about speed only."""


def is_builtin(world: str | None) -> bool:
    """Whether a world is the built-in one, in any edition."""
    return world in (FIRST_EDITION, TINY)


def require_edition(name: str, world: str | None) -> None:
    """Refuse what belongs to an edition of the built-in world that is not in the package.

    Raises:
        UserError: says which.
    """
    if world == FIRST_EDITION:
        raise UserError(
            f"{name} is of the first edition of the tiny world, and this version of ddecli has the second, with other "
            "models and scorers: make it again, or use the version it was made with."
        )


def world_of(protocol: Mapping[str, Any]) -> str | None:
    """The world of sampled pictures. Protocols of earlier versions do not say it: there the size tells."""
    if "world" in protocol:
        return protocol["world"]
    return FIRST_EDITION if protocol.get("resolution") == WORLD_PIXELS else None
