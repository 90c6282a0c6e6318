"""Tables with a row a picture, as ImageRewardDB has them: rows of one prompt that follow one another become one row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ddecli.core.errors import BadRow
from ddecli.data.columns import MOST_TOGETHER, Columns

Named = tuple[str, dict[str, Any] | BadRow]
"""A row's id, and the row."""


def gathered(rows: Iterable[Named], columns: Columns) -> Iterator[Named]:
    """Rows as `Columns.pairs` takes them: those of one group together, each with its lists of pictures and ranks.

    A gathered row has the id of its first. Rows that have lists already are left as they are. A group that comes again
    behind another is a bad row: its pictures would not be compared with those before.
    """
    if not columns.grouped:
        yield from rows
        return
    together: list[tuple[str, dict[str, Any]]] = []
    done: set[Any] = set()
    for row_id, row in rows:
        if isinstance(row, BadRow) or isinstance(row.get(columns.actual["images"]), list):
            yield row_id, row
            continue
        if together and _group(row, columns) != _group(together[0][1], columns):
            yield _one_row(together, columns)
            done.add(_group(together[0][1], columns))
            together = []
        if _group(row, columns) in done:
            yield row_id, BadRow("rows of a prompt lie apart", "sort the table by its prompts")
        elif len(together) == MOST_TOGETHER:
            yield row_id, BadRow("too many pictures", f"at most {MOST_TOGETHER} of one prompt are compared")
        else:
            together.append((row_id, row))
    if together:
        yield _one_row(together, columns)


def _group(row: dict[str, Any], columns: Columns) -> tuple[str, str]:
    return str(row.get(columns.actual["group"])), str(row.get(columns.actual["prompt"]))


def _one_row(rows: list[tuple[str, dict[str, Any]]], columns: Columns) -> Named:
    row_id, first = rows[0]
    lists = [columns.actual[name] for name in ("images", "ranks", "marks") if name in columns.actual]
    return row_id, first | {name: [row.get(name) for _, row in rows] for name in lists}
