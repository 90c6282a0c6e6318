"""What is encoded already: tables of digests that move to the disk, so that a million pairs never sit in memory."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from typing import Any

CACHE_KIB = 65_536
"""Memory that SQLite may take of one `DiskTables`; what does not fit lies in a temporary file."""
IN_MEMORY = 2**17
"""Entries that are kept in memory (some 250 bytes each) before all of them go to SQLite, ten times as slow."""


class DiskTables:
    """Named tables from bytes to a value (an integer, or bytes): in memory as long as they are small, then on the disk.

    There they take some 45 bytes an entry, in one temporary database. Its file has no name any more once it is open,
    so nothing is left of it however the process ends. May be read from several threads.

    Raises:
        OSError: every method, when the temporary folder (TMPDIR) is full.
    """

    def __init__(self, *names: str) -> None:
        self._lock = threading.Lock()
        self._memory: dict[str, dict[bytes, int | bytes]] = {name: {} for name in names}
        self._count = 0
        self._database: sqlite3.Connection | None = None

    def get(self, table: str, key: bytes) -> Any:
        """Value of a key; None if it is not there."""
        with self._lock:
            if self._database is None:
                return self._memory[table].get(key)
            found = self._execute(f"SELECT value FROM {table} WHERE key = ?", key).fetchone()
        return found[0] if found else None

    def add(self, table: str, key: bytes, value: int | bytes) -> bool:
        """Add an entry unless the key is there already; whether it was added."""
        with self._lock:
            if self._database is not None:
                statement = f"INSERT OR IGNORE INTO {table} VALUES (?, ?)"
                return self._execute(statement, key, value).rowcount == 1
            entries = self._memory[table]
            if key in entries:
                return False
            entries[key] = value
            self._count += 1
            if self._count == IN_MEMORY:
                self._move_to_disk()
            return True

    def _move_to_disk(self) -> None:
        self._database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
            self._execute(f"PRAGMA {pragma}")
        for name in self._memory:
            self._execute(f"CREATE TABLE {name} (key BLOB PRIMARY KEY, value) WITHOUT ROWID")
        self._execute("BEGIN")  # never committed: nobody else reads it
        for name, entries in self._memory.items():
            for entry in entries.items():
                self._execute(f"INSERT INTO {name} VALUES (?, ?)", *entry)
        self._memory = {}

    def _execute(self, statement: str, *values: int | bytes) -> sqlite3.Cursor:
        assert self._database is not None
        try:
            return self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise OSError(f"SQLite's temporary file: {error}; set TMPDIR to a larger disk") from error


def prompt_key(prompt: str) -> bytes:
    """A prompt's key in the tables."""
    return hashlib.sha256(prompt.encode()).digest()[:16]


class Encoded:
    """Pictures (by their file's and by their pixels' SHA-256) and prompts that have been encoded."""

    def __init__(self) -> None:
        self._tables = DiskTables("files", "pictures", "prompts")

    def __contains__(self, file_digest: object) -> bool:
        """Whether a picture's file is known, so that it need not be decoded."""
        return isinstance(file_digest, bytes) and self._tables.get("files", file_digest) is not None

    def pixels_of(self, file_digest: bytes) -> bytes:
        """Digest of the pixels of a known file."""
        return self._tables.get("files", file_digest)

    def is_finite(self, pixel_digest: bytes) -> bool | None:
        """Whether a picture's latent is finite; None if it was not encoded yet."""
        value = self._tables.get("pictures", pixel_digest)
        return None if value is None else bool(value)

    def add_file(self, file_digest: bytes, pixel_digest: bytes) -> None:
        """Note the pixels of a picture's file."""
        self._tables.add("files", file_digest, pixel_digest)

    def add_picture(self, pixel_digest: bytes, finite: bool) -> None:
        """Note that a picture was encoded, and whether its latent is finite."""
        self._tables.add("pictures", pixel_digest, int(finite))

    def add_prompt(self, prompt: str) -> bool:
        """Note that a prompt is encoded; whether it was not yet."""
        return self._tables.add("prompts", prompt_key(prompt), 1)
