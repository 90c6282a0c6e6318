"""Pair sources: folders and parquet files in the columns people have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pair_data import png, write_folder

from ddecli.core.errors import UserError
from ddecli.data.columns import resolve_columns
from ddecli.data.mapping import parse_mapping
from ddecli.data.pairs import Pair, Rejects, read_image_bytes
from ddecli.data.sources.base import Wanted
from ddecli.data.sources.names import check_source
from ddecli.data.sources.registry import open_source


def read(path: Path, **mapping: str) -> tuple[list[Pair], Rejects]:
    rejects = Rejects()
    source = open_source(path, Wanted(mapping))
    return [pair for part in source.parts for pair in part.read(rejects)], rejects


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def pick_a_pic(number: int, label: float | None = 1.0, **more: Any) -> dict[str, Any]:
    row = {"caption": f"prompt {number}", "jpg_0": png(2 * number), "jpg_1": png(2 * number + 1)}
    return row | {"label_0": label, "are_different": True, "has_label": True, "user_id": 7} | more


def test_a_folder_with_metadata(tmp_path: Path) -> None:
    write_folder(tmp_path, [{"prompt": "a", "chosen": "0.png", "rejected": "1.png"}], 2)
    pairs, rejects = read(tmp_path)
    assert [(pair.prompt, pair.pair_id) for pair in pairs] == [("a", "metadata.jsonl:1")]
    assert [read_image_bytes(pair.chosen) for pair in pairs] == [png(0)]
    assert not rejects.counts


def test_csv_and_trl_names(tmp_path: Path) -> None:
    write_folder(tmp_path, [], 2)
    (tmp_path / "metadata.jsonl").unlink()
    text = "\ufeffPrompt,chosen_file_name,rejected_file_name\n" + '"a, ""b""\nc",0.png,1.png,,\nd,1.png\n'
    (tmp_path / "metadata.csv").write_text(text, encoding="utf-8")
    pairs, rejects = read(tmp_path)
    assert [pair.prompt for pair in pairs] == ['a, "b"\nc']
    assert rejects.counts == {"missing image": 1}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{broken", "malformed row"),
        ('"a text"', "malformed row"),
        ("[" * 200_000, "malformed row"),
        ({"prompt": "", "chosen": "0.png", "rejected": "1.png"}, "empty prompt"),
        ({"prompt": "  ", "chosen": "0.png", "rejected": "1.png"}, "empty prompt"),
        ({"prompt": 5, "chosen": "0.png", "rejected": "1.png"}, "empty prompt"),
        ({"chosen": "0.png", "rejected": "1.png"}, "empty prompt"),
        ({"prompt": "a", "another": "key"}, "missing image"),
        ({"prompt": "a", "chosen": None, "rejected": "1.png"}, "missing image"),
        ({"prompt": "a", "chosen": "../secret.png", "rejected": "1.png"}, "path leaves the folder"),
        ({"prompt": "a", "chosen": "/etc/passwd", "rejected": "1.png"}, "path leaves the folder"),
        ({"prompt": "a", "chosen": "link.png", "rejected": "1.png"}, "path leaves the folder"),
        ({"prompt": "a", "chosen": "nul\0.png", "rejected": "1.png"}, "missing image"),
    ],
)
def test_bad_rows_are_listed_and_the_rest_is_read(tmp_path: Path, row: Any, reason: str) -> None:
    folder = write_folder(tmp_path / "data", [{"prompt": "a", "chosen": "0.png", "rejected": "1.png"}], 2)
    (tmp_path / "secret.png").write_bytes(png(9))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    with (folder / "metadata.jsonl").open("a", encoding="utf-8") as file:
        file.write("\n" + (json.dumps(row) if isinstance(row, dict) else row))
    pairs, rejects = read(folder)
    assert len(pairs) == 1
    assert [(bad["row"], bad["reason"]) for bad in rejects.bad_rows] == [("metadata.jsonl:2", reason)]


def test_pick_a_pic(tmp_path: Path) -> None:
    rows = [
        pick_a_pic(0, 1.0),
        pick_a_pic(1, 0.0),
        pick_a_pic(2, 0.5),
        pick_a_pic(3, 1.0, has_label=False),
        pick_a_pic(4, 1.0, are_different=False),
        pick_a_pic(5, None),
        pick_a_pic(6, 1.0, jpg_1=None),
        pick_a_pic(7, 3.0),
    ]
    pairs, rejects = read(write_parquet(tmp_path / "train-00000.parquet", rows))
    assert [(pair.chosen, pair.rejected) for pair in pairs] == [(png(0), png(1)), (png(3), png(2))]
    assert pairs[1].pair_id == "train-00000.parquet:1"
    assert rejects.counts == {
        "tie": 1,
        "not labelled": 2,
        "pictures marked as not different": 1,
        "missing image": 1,
        "label outside 0 to 1": 1,
    }
    assert [bad["row"].split(":")[1] for bad in rejects.bad_rows] == ["6", "7"]


def test_struct_cells_and_file_names_in_parquet(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(png(1))
    rows = [
        {"prompt": "a", "chosen": {"bytes": png(0), "path": "x.png"}, "rejected": "b.png"},
        {"prompt": "a", "chosen": {"bytes": None, "path": "b.png"}, "rejected": "../b.png"},
    ]
    pairs, rejects = read(write_parquet(tmp_path / "pairs.parquet", rows))
    assert [read_image_bytes(image) for image in (pairs[0].chosen, pairs[0].rejected)] == [png(0), png(1)]
    assert rejects.counts == {"path leaves the folder": 1}


def test_shards_are_read_in_order_across_row_groups(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for shard in (1, 0):
        rows = [pick_a_pic(10 * shard + i) for i in range(5)]
        write_parquet(tmp_path / "data" / f"{shard}.parquet", rows, row_group_size=2)
    pairs, _ = read(tmp_path)
    assert [pair.prompt for pair in pairs] == [f"prompt {i}" for i in (*range(5), *range(10, 15))]
    assert [pair.pair_id for pair in pairs][4:6] == ["0.parquet:4", "1.parquet:0"]


def test_a_shard_cut_in_half_is_named_before_any_work(tmp_path: Path) -> None:
    for shard in range(2):
        write_parquet(tmp_path / f"{shard}.parquet", [pick_a_pic(shard)])
    broken = tmp_path / "1.parquet"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with pytest.raises(UserError, match=r"1\.parquet cannot be read as parquet"):
        open_source(tmp_path)


def test_a_shard_with_a_hole_is_named(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "0.parquet", [pick_a_pic(i) for i in range(4)], compression="gzip")
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"0\.parquet is damaged at row 0"):
        read(tmp_path)


def test_a_list_that_is_nested_too_deeply_is_named(tmp_path: Path) -> None:
    file = tmp_path / "train.json"
    file.write_text("[" * 200_000, encoding="utf-8")
    with pytest.raises(UserError, match=r"train\.json: row 0 is nested too deeply"):
        read(file)


def test_columns_can_be_named(tmp_path: Path) -> None:
    rows = [{"words": "a", "won": png(0), "lost": png(1)}]
    path = write_parquet(tmp_path / "x.parquet", rows)
    pairs, _ = read(path, prompt="words", chosen="won", rejected="lost")
    assert (pairs[0].prompt, pairs[0].chosen) == ("a", png(0))
    with pytest.raises(UserError, match=r"x\.parquet has columns words, won, lost; needed are"):
        read(path)
    with pytest.raises(UserError, match="has no column 'win', only words, won, lost"):
        read(path, chosen="win")
    with pytest.raises(UserError, match="'best' is none of prompt, chosen"):
        read(path, best="won")


def test_an_ambiguous_label_is_not_guessed() -> None:
    columns = ["prompt", "image_0", "image_1", "label"]
    with pytest.raises(UserError, match="needed are"):
        resolve_columns(columns, {}, "x")
    assert resolve_columns(columns, {"label_0": "label"}, "x").actual["label_0"] == "label"


def test_one_of_two_columns_is_named_and_the_other_found() -> None:
    found = resolve_columns(["prompt", "best", "l"], {"chosen": "best"}, "x").actual
    assert found == {"prompt": "prompt", "chosen": "best", "rejected": "l"}
    with pytest.raises(UserError, match="needed are"):  # never one column for both
        resolve_columns(["prompt", "w", "l"], {"chosen": "l"}, "x")


def test_one_picture_a_row_is_no_preference() -> None:
    for labelled in (True, False):
        with pytest.raises(UserError, match="needed are"):
            resolve_columns(["prompt", "image", "rank"], {}, "x", labelled)


def test_parse_mapping() -> None:
    assert parse_mapping(["prompt=caption,chosen=a b", "rejected=c"]) == {
        "prompt": "caption",
        "chosen": "a b",
        "rejected": "c",
    }
    with pytest.raises(UserError, match="canonical=actual"):
        parse_mapping(["prompt"])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "holds no pairs"),
        (lambda path: path.write_text("hello"), "holds no pairs"),
        (lambda path: write_folder(path, []), "lists no pairs"),
        (lambda path: write_folder(path, [{"prompt": "a", "image": "0.png"}]), "has columns prompt, image"),
    ],
)
def test_a_path_without_pairs(tmp_path: Path, make: Any, sentence: str) -> None:
    make(tmp_path / "data")
    with pytest.raises(UserError, match=sentence):
        read(tmp_path / "data")


def test_data_by_name_lie_here_or_may_lie_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for name in ("mine", str(tmp_path), "pickapic", "owner/name", "owner/name.v2"):
        check_source(name)
    for name in ("yours", "mine/nothing", str(tmp_path / "nothing"), "a/b/c", "mine.csv"):
        with pytest.raises(UserError, match="does not exist"):
            check_source(name)
