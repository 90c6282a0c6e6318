"""Tables of what is encoded: the same answers from memory and from the disk."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest

from ddecli.data import index
from ddecli.data.index import DiskTables


def digest(number: int) -> bytes:
    return hashlib.sha256(str(number).encode()).digest()


@pytest.mark.parametrize("in_memory", [1, 7, 40, 1000])
def test_answers_are_those_of_dictionaries(monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(index, "IN_MEMORY", in_memory)
    tables = DiskTables("a", "b")
    expected: dict[str, dict[bytes, int | bytes]] = {"a": {}, "b": {}}
    for number in range(60):
        for name, value in (("a", number), ("b", digest(number + 1))):
            key = digest(number % 25)
            assert tables.add(name, key, value) == (key not in expected[name])
            expected[name].setdefault(key, value)
    for name, entries in expected.items():
        assert {key: tables.get(name, key) for key in entries} == entries
        assert tables.get(name, digest(99)) is None


def test_many_entries_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "IN_MEMORY", 10)
    tables = DiskTables("a")
    for number in range(30):
        tables.add("a", digest(number), number)
    assert not tables._memory
    assert [tables.get("a", digest(number)) for number in range(30)] == list(range(30))


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def execute(self, statement: str, values: tuple[object, ...] = ()) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(index, "IN_MEMORY", 1)
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: Full())
    with pytest.raises(OSError, match="disk is full; set TMPDIR to a larger disk"):
        DiskTables("a").add("a", b"1", 1)
