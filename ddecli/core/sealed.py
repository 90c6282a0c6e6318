"""JSON files that tell when something in them was changed: they hold a SHA-256 of all else they hold.

For what decides numbers later on: a single flipped bit leaves a file valid, with another number in it. Files of
earlier versions have no digest and are taken as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_json, sha256_text, write_json

SEAL = "content_sha256"


def write_sealed(path: Path, values: dict[str, Any]) -> None:
    """Write a whole JSON file with its digest, indented, or nothing."""
    write_json(path, sealed(values))


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """Values with their digest, to be printed as JSON."""
    plain = json.loads(json.dumps(values))  # keys as they will be read
    return values | {SEAL: _digest(plain)}


def read_sealed(path: Path, way_out: str, shape: Any = dict[str, Any]) -> dict[str, Any]:
    """Read a file of `write_sealed`, without its digest.

    Args:
        way_out: what to do if it is damaged, as in "sample the images again".
        shape: see `read_json`.

    Raises:
        UserError: it is missing, damaged, or was changed since it was written.
    """
    values: dict[str, Any] = read_json(path, shape, way_out)
    seal = values.pop(SEAL, None)
    if seal is not None and seal != _digest(values):
        raise UserError(
            f"{path} has changed since it was written: {way_out}. (Changed on purpose? Remove its {SEAL}.)"
        )
    return values


def _digest(values: dict[str, Any]) -> str:
    return sha256_text(json.dumps(values, sort_keys=True))
