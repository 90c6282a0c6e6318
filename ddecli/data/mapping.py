"""`--columns`: what the user calls the columns of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ddecli.core.errors import UserError

LISTED = 20
"""Most columns that a sentence lists."""


def parse_mapping(options: Sequence[str]) -> dict[str, str]:
    """Read `--columns` options: each `canonical=actual`, or several separated by commas.

    Raises:
        UserError: an entry without `=`.
    """
    mapping: dict[str, str] = {}
    for entry in (part for option in options for part in option.split(",")):
        canonical, equals, actual = entry.partition("=")
        if not equals or not actual:
            raise UserError(f"--columns {entry}: write it as canonical=actual, for example prompt=caption.")
        mapping[canonical.strip()] = actual.strip()
    return mapping


def check_mapping(
    mapping: Mapping[str, str], canonicals: Sequence[str], found: Sequence[str], where: str
) -> None:
    """Hold what was named to the columns that there may be, and to those that a table has.

    Raises:
        UserError: a column has no such meaning, or is not there.
    """
    for canonical, name in mapping.items():
        if canonical not in canonicals:
            raise UserError(
                f"--columns {canonical}={name}: {canonical!r} is none of {', '.join(canonicals)}."
            )
        if name not in found:
            raise UserError(
                f"--columns {canonical}={name}: {where} has no column {name!r}, only {listed(found)}."
            )


def listed(names: Sequence[str]) -> str:
    """Some names, for a sentence."""
    return ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
