"""A JSON file that decides numbers tells when one of them was changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ddecli.core.errors import UserError
from ddecli.core.sealed import SEAL, read_sealed, write_sealed

VALUES = {"mean": 1.25, "text": "é\u2028", "list": [1, None, {"x": 1e-30}], "true": True}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_sealed(tmp_path / "x.json", VALUES)
    assert read_sealed(tmp_path / "x.json", "again") == VALUES


def test_every_changed_value_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_sealed(file, VALUES)
    written = json.loads(file.read_text(encoding="utf-8"))
    others = [
        {"mean": 1.26},
        {"text": "e"},
        {"list": [1, None, {"x": 0}]},
        {"true": 1},
        {"more": 0},
        {SEAL: "0" * 64},
    ]
    for other in others:
        file.write_text(json.dumps(written | other))
        with pytest.raises(UserError, match=r"x\.json has changed since it was written: measure again"):
            read_sealed(file, "measure again")
    del written["mean"]
    file.write_text(json.dumps(written))
    with pytest.raises(UserError, match="has changed"):
        read_sealed(file, "measure again")


def test_a_flipped_bit_never_gives_other_values(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_sealed(file, VALUES)
    good = file.read_bytes()
    name = good.index(SEAL.encode())
    refused = 0
    for bit in range(0, 8 * len(good), 3):
        if name <= bit // 8 < name + len(SEAL):
            continue  # then it has no digest, as those of earlier versions
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            values = read_sealed(file, "again")
        except UserError:
            refused += 1
        else:
            assert values == VALUES  # of the layout, as where a line break became a blank
    assert refused > 2 * len(good)


def test_layout_is_no_content_and_old_files_have_no_digest(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_sealed(file, VALUES)
    file.write_text(
        json.dumps(json.loads(file.read_text(encoding="utf-8")), separators=(",", ":"), sort_keys=True)
    )
    assert read_sealed(file, "again") == VALUES
    file.write_text('{"mean": 2}')
    assert read_sealed(file, "again") == {"mean": 2}
    file.write_text("[]")
    with pytest.raises(UserError, match=r"is damaged \(.*dictionary\); again\."):
        read_sealed(file, "again")
