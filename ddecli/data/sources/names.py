"""Data by name: what may be a data set of the hub, and what must lie here."""

from __future__ import annotations

import re
from pathlib import Path

from ddecli.core.errors import UserError

NICKNAMES = {"pickapic": "yuvalkirstain/pickapic_v2"}
"""Names that stand for a data set of the hub."""
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+")


def is_hub_name(data: str) -> bool:
    """Whether this may be a data set of the hub."""
    return data in NICKNAMES or HUB_ID.fullmatch(data) is not None


def check_source(data: str) -> None:
    """Whether there may be such data, without reading or fetching anything.

    Raises:
        UserError: nothing lies there, and it is no name of the hub; nor is it one if its owner is a folder here.
    """
    path = Path(data)
    if not path.exists() and not (data in NICKNAMES or (is_hub_name(data) and not path.parent.is_dir())):
        raise missing(data)


def missing(data: str) -> UserError:
    """What to say of data that are not there."""
    return UserError(
        f"{data} does not exist. Give --data a folder or file of pairs, a hub id (owner/name), "
        f"{', '.join(NICKNAMES)}, or world."
    )
