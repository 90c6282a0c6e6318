"""Damage to a file: what failing disks, stopped programs and other programs do, drawn from a seed.

`damage` takes the bytes of a file and gives other bytes, with a sentence that says what was done. Half of it is blind
(bits, cuts, lines); the other half knows the format and changes one value: to another type, a huge number, NaN, a
deep nesting, nothing at all.
"""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import yaml

from ddecli.core.sealed import SEAL

Damaged = tuple[bytes, str]
TEXTS = (".json", ".jsonl", ".yaml", ".csv", ".tsv", ".txt")
NO_DIGEST = "without its digest"
"""Said of a file that was made to look like one of an earlier version."""
DEEP = 3000
"""Levels: more than Python's own limit, fewer than would end its parsers."""
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf"), 0.5,
    "", "x", "0", "../../x", "a" * 5000, "\x00", "\u2028", "\x1b[31m", "[/b]", [], {}, [[]], [None], {"": None},
)  # fmt: skip


def damage(name: str, content: bytes, rng: random.Random) -> Damaged:
    """Damage the content of a file that is called `name`."""
    known = [each for ending, each in FORMATS.items() if name.endswith(ending)]
    if known and content and rng.random() < 0.5:
        try:
            return known[0](name, content, rng)
        except (ValueError, KeyError, IndexError, TypeError, OSError):
            pass  # a file that is of the format by its name alone
    is_text = name.endswith(TEXTS)
    return rng.choice(BLIND + (LINES if is_text else ()))(content, rng)


def _flip(content: bytes, rng: random.Random) -> Damaged:
    count = rng.choice([1, 1, 1, 2, 8, 64])
    changed = bytearray(content or b"\0")
    places = [rng.randrange(8 * len(changed)) for _ in range(count)]
    for place in places:
        changed[place // 8] ^= 1 << place % 8
    return bytes(changed), f"bits {places[:8]} flipped"


def _flip_near_an_end(content: bytes, rng: random.Random) -> Damaged:
    """Where formats keep their headers."""
    changed = bytearray(content or b"\0")
    near = min(len(changed), 256)
    place = rng.randrange(near) if rng.random() < 0.5 else len(changed) - 1 - rng.randrange(near)
    bit = rng.randrange(8)
    changed[place] ^= 1 << bit
    return bytes(changed), f"bit {bit} of byte {place} flipped"


def _cut(content: bytes, rng: random.Random) -> Damaged:
    place = rng.randrange(len(content) + 1)
    return content[:place], f"cut to {place} bytes"


def _empty(content: bytes, rng: random.Random) -> Damaged:
    return b"", "emptied"


def _zeros(content: bytes, rng: random.Random) -> Damaged:
    start, length = rng.randrange(len(content) + 1), rng.choice([4, 64, 4096])
    hole = min(length, len(content) - start)
    return content[:start] + b"\0" * hole + content[start + hole :], f"{hole} bytes from {start} are zero"


def _swap(content: bytes, rng: random.Random) -> Damaged:
    if len(content) < 8:
        return content[::-1], "turned round"
    size = rng.randrange(1, len(content) // 4 + 1)
    a, b = sorted((rng.randrange(len(content) - size), rng.randrange(len(content) - size)))
    b = max(b, a + size)
    parts = (
        content[:a],
        content[b : b + size],
        content[a + size : b],
        content[a : a + size],
        content[b + size :],
    )
    return b"".join(parts), f"{size} bytes at {a} and {b} exchanged"


def _remove(content: bytes, rng: random.Random) -> Damaged:
    start, length = rng.randrange(len(content) + 1), rng.choice([1, 2, 16, 512])
    return content[:start] + content[start + length :], f"{length} bytes at {start} removed"


def _insert(content: bytes, rng: random.Random) -> Damaged:
    start, new = rng.randrange(len(content) + 1), rng.randbytes(rng.choice([1, 2, 16, 512]))
    return content[:start] + new + content[start:], f"{new[:16].hex()} put in at {start}"


def _noise(content: bytes, rng: random.Random) -> Damaged:
    return rng.randbytes(rng.choice([1, 10, 1000])), "other bytes altogether"


def _append(content: bytes, rng: random.Random) -> Damaged:
    new = rng.choice([b"\n", b"\0" * 100, content, b"\xff\xfe", b"}\n"])
    return content + new, f"{new[:8]!r} put behind it"


def _line(content: bytes, rng: random.Random, change: Callable[[list[bytes], int], str]) -> Damaged:
    lines = content.splitlines(keepends=True) or [b"\n"]
    number = rng.randrange(len(lines))
    said = change(lines, number)
    return b"".join(lines), f"line {number + 1} {said}"


def _lose_line(content: bytes, rng: random.Random) -> Damaged:
    return _line(content, rng, lambda lines, n: "removed" if lines.pop(n) else "")


def _repeat_line(content: bytes, rng: random.Random) -> Damaged:
    return _line(content, rng, lambda lines, n: "repeated" if not lines.insert(n, lines[n]) else "")


def _cut_at_line(content: bytes, rng: random.Random) -> Damaged:
    return _line(
        content,
        rng,
        lambda lines, n: "and those behind it removed" if not lines.__delitem__(slice(n, None)) else "",
    )


def _break_line(content: bytes, rng: random.Random) -> Damaged:
    new = rng.choice(
        [b"{broken\n", b"\n", b"\xff\xfe\n", b"[" * DEEP + b"\n", b"null\n", b",,,,,,\n", b'"\n', b"\r"]
    )
    return _line(content, rng, lambda lines, n: f"is {new[:10]!r}" if not lines.__setitem__(n, new) else "")


BLIND = (_flip, _flip, _flip_near_an_end, _cut, _empty, _zeros, _swap, _remove, _insert, _noise, _append)
LINES = (_lose_line, _repeat_line, _cut_at_line, _break_line)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested values, the whole left out."""
    items = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else []
    )
    return [place for key, each in items for place in ((*path, key), *_places(each, (*path, key)))]


def _change_value(value: Any, rng: random.Random) -> tuple[Any, str]:
    places = _places(value)
    if not places or rng.random() < 0.05:
        new = rng.choice(ODD)
        return new, f"is {str(new)[:20]!r} altogether"
    *way, last = rng.choice(places)
    holder = value
    for key in way:
        holder = holder[key]
    where = ".".join(map(str, (*way, last)))
    kind = rng.random()
    if kind < 0.1:
        del holder[last]
        return value, f"{where} removed"
    if kind < 0.2 and isinstance(holder[last], int | float):
        factor = rng.choice([2, -1, 1000, 0.999])
        holder[last] = holder[last] * factor
        return value, f"{where} times {factor}"
    new = rng.choice(ODD)
    if rng.random() < 0.1:
        new = []
        for _ in range(DEEP):
            new = [new]
        holder[last] = "DEEP"
        return value, f"{where} nested deeply"
    holder[last] = new
    return value, f"{where} is {str(new)[:20]!r}"


def _dump(value: Any) -> str:
    return json.dumps(value, indent=1).replace('"DEEP"', "[" * DEEP + "]" * DEEP)


def _json(name: str, content: bytes, rng: random.Random) -> Damaged:
    value, said = _change_value(json.loads(content), rng)
    if isinstance(value, dict) and SEAL in value and rng.random() < 0.5:
        del value[SEAL]
        said += f", {NO_DIGEST}"
    return _dump(value).encode(), said


def _json_lines(name: str, content: bytes, rng: random.Random) -> Damaged:
    lines = content.decode().split("\n")
    number = rng.randrange(max(1, len(lines) - 1))
    value, said = _change_value(json.loads(lines[number]), rng)
    lines[number] = _dump(value).replace("\n", " ")
    return "\n".join(lines).encode(), f"line {number + 1}: {said}"


def _yaml(name: str, content: bytes, rng: random.Random) -> Damaged:
    if rng.random() < 0.2:
        lines = content.decode().splitlines(keepends=True)
        number = rng.randrange(len(lines))
        odd = (
            "010",
            "1:30",
            "*a",
            "!!python/name:os.system x",
            "&a [*a]",
            "[" * DEEP,
            "2024-13-45",
            "~",
            "!!int x",
        )
        new = lines[number].split(":")[0] + ": " + rng.choice(odd) + "\n"
        place = rng.choice([number, len(lines)])
        return "".join(
            [*lines[:place], new, *lines[place + 1 :]]
        ).encode(), f"line {place + 1} is {new[:40]!r}"
    value, said = _change_value(yaml.safe_load(content), rng)
    return yaml.safe_dump(value).replace("DEEP", "[" * DEEP + "]" * DEEP).encode(), said


def _safetensors(name: str, content: bytes, rng: random.Random) -> Damaged:
    (length,) = struct.unpack("<Q", content[:8])
    header, said = _change_value(json.loads(content[8 : 8 + length]), rng)
    new = _dump(header).encode()
    return struct.pack("<Q", len(new)) + new + content[8 + length :], f"header: {said}"


def _npz(name: str, content: bytes, rng: random.Random) -> Damaged:
    with np.load(io.BytesIO(content)) as found:
        arrays = dict(found)
    key = rng.choice(sorted(arrays))
    array = arrays[key]
    odd = {
        "is a number": np.array(1.0), "is empty": array[:0], "is shorter": array[:-1], "is all NaN": array * np.nan,
        "is zero": array * 0, "is text": np.full(array.shape, "x"), "is huge": np.full(array.shape, 1e308),
        "is negative": -array, "is an object": np.array({"a": 1}, dtype=object), "has one dimension more": array[None],
    }  # fmt: skip
    said = rng.choice(sorted(odd))
    arrays[key] = odd[said]
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue(), f"{key} {said}"


def _parquet(name: str, content: bytes, rng: random.Random) -> Damaged:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    place = rng.randrange(table.num_columns)
    column = table.column_names[place]
    rows = table.num_rows
    odd: dict[str, Any] = {
        "is null": pa.nulls(rows), "is text": pa.array(["x"] * rows), "is binary": pa.array([b"\xff"] * rows),
        "is nested": pa.array([[{"a": 1}]] * rows), "is NaN": pa.array([float("nan")] * rows),
        "is huge": pa.array([2**62] * rows), "is negative": pa.array([-1] * rows),
        "is boolean": pa.array([True] * rows),
    }  # fmt: skip
    said = rng.choice([*sorted(odd), "is left out", "has no rows", "is there twice", "has one null"])
    if said in odd:
        table = table.set_column(place, column, odd[said])
    elif said == "is left out":
        table = table.drop_columns([column])
    elif said == "has no rows":
        table = table.slice(0, 0)
    elif said == "is there twice":
        table = table.append_column(column, table[column])
    else:
        values = table[column].to_pylist()
        values[rng.randrange(len(values))] = None
        table = table.set_column(place, column, pa.array(values, table[column].type))
    file = io.BytesIO()
    pq.write_table(table, file)
    return file.getvalue(), f"{column} {said}"


FORMATS: dict[str, Callable[[str, bytes, random.Random], Damaged]] = {
    ".jsonl": _json_lines, ".json": _json, ".yaml": _yaml, ".safetensors": _safetensors, ".npz": _npz,
    ".parquet": _parquet,
}  # fmt: skip
