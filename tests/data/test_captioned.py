"""Pictures with captions and no losers, in the forms people have them."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pair_data import png, tar

from ddecli.core.errors import UserError
from ddecli.data.pairs import Pair, Rejects, read_image_bytes
from ddecli.data.sources.base import Wanted
from ddecli.data.sources.registry import open_source


def read(path: Path, **mapping: str) -> tuple[list[Pair], Rejects]:
    rejects = Rejects()
    source = open_source(path, Wanted(mapping, winners_only=True))
    assert source.winners_only
    return [pair for part in source.parts for pair in part.read(rejects)], rejects


def write_folder(folder: Path) -> None:
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number))
        (folder / f"{number}.txt").write_text(f" prompt {number}\n")
    (folder / "3.png").write_bytes(png(3))


def write_metadata(folder: Path) -> None:
    write_folder(folder)
    rows = [{"file_name": f"{number}.png", "text": f"prompt {number}"} for number in range(3)]
    rows.append({"file_name": "none.png", "text": ""})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_tar(folder: Path) -> None:
    files: dict[str, bytes | str] = {}
    for number in range(3):
        files |= {f"{number}.png": png(number), f"{number}.txt": f"prompt {number}"}
    tar(folder / "0.tar", files | {"3.png": png(3)})


def write_parquet(folder: Path) -> None:
    rows = [{"image": {"bytes": png(i), "path": None}, "text": f"prompt {i}"} for i in range(3)]
    rows.append({"image": {"bytes": b"", "path": None}, "text": "prompt 3"})
    pq.write_table(pa.Table.from_pylist(rows), folder / "0.parquet")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (write_folder, "missing prompt"),
        (write_metadata, "empty prompt"),
        (write_tar, "incomplete sample"),
        (write_parquet, "missing image"),
    ],
)
def test_each_picture_has_its_caption(write: object, reason: str, tmp_path: Path) -> None:
    write(tmp_path)  # type: ignore[operator]
    pairs, rejects = read(tmp_path)
    assert [pair.prompt for pair in pairs] == ["prompt 0", "prompt 1", "prompt 2"]
    assert [read_image_bytes(pair.chosen) for pair in pairs] == [png(0), png(1), png(2)]
    assert {pair.rejected for pair in pairs} == {None}
    assert rejects.counts == {reason: 1} and len(rejects.bad_rows) == 1  # the fourth


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    rows = [{"better": png(0), "worse": png(1), "said": "a cat"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "0.parquet")
    pairs, _ = read(tmp_path, image="better", prompt="said")
    assert [(pair.prompt, pair.chosen) for pair in pairs] == [("a cat", png(0))]
    for mapping, words in (
        ({}, "has columns better, worse, said; needed are prompt and image. Name them with --columns"),
        ({"chosen": "better"}, "--columns chosen=better: 'chosen' is none of prompt, image."),
    ):
        with pytest.raises(UserError, match=words):
            read(tmp_path, **mapping)


def test_what_has_no_losers_is_no_pair_and_says_the_way_out(tmp_path: Path) -> None:
    write_parquet(tmp_path)
    with pytest.raises(
        UserError, match="if they are pictures with captions and no pairs, give --winners-only"
    ):
        open_source(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="holds no pictures with captions: expected"):
        read(empty)


def test_a_picture_that_is_replaced_changes_its_part(tmp_path: Path) -> None:
    write_folder(tmp_path)
    wanted = Wanted(winners_only=True)
    before = open_source(tmp_path, wanted).parts[0].identity
    assert open_source(tmp_path, wanted).parts[0].identity == before
    (tmp_path / "0.png").write_bytes(png(9, (40, 40)))
    assert open_source(tmp_path, wanted).parts[0].identity != before
