"""Data sets as they are published, and folders as people have them, in small."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pair_data import png, tar

from ddecli.core import text_tables
from ddecli.core.errors import UserError
from ddecli.data.pairs import Pair, Rejects, read_image_bytes
from ddecli.data.sources import pair_folders, parquet, rows
from ddecli.data.sources.base import Source, Wanted
from ddecli.data.sources.registry import open_source
from ddecli.data.sources.split_names import of_split, split_of, splits_of


def read(source: Source) -> tuple[list[Pair], Rejects]:
    rejects = Rejects()
    return [pair for part in source.parts for pair in part.read(rejects)], rejects


def sides(pairs: list[Pair]) -> list[tuple[bytes, bytes]]:
    return [(read_image_bytes(pair.chosen), read_image_bytes(pair.rejected)) for pair in pairs]


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def image(number: int) -> dict[str, Any]:
    """A picture as `datasets` writes its Image feature."""
    return {"bytes": png(number), "path": f"{number}.png"}


def pick_a_pic(number: int, label: float = 1.0, **more: Any) -> dict[str, Any]:
    """A row with all of Pick-a-Pic v2's columns."""
    return {
        "are_different": True,
        "best_image_uid": "x",
        "caption": f"prompt {number}",
        "created_at": None,
        "has_label": True,
        "image_0_uid": "x",
        "image_0_url": "https://example.org/0.png",
        "image_1_uid": "y",
        "image_1_url": "https://example.org/1.png",
        "jpg_0": png(2 * number),
        "jpg_1": png(2 * number + 1),
        "label_0": label,
        "label_1": 1 - label,
        "model_0": "a",
        "model_1": "b",
        "ranking_id": number,
        "user_id": 7,
        "num_example_per_prompt": 1,
        "__index_level_0__": number,
    } | more


def rapidata(number: int, share: float) -> dict[str, Any]:
    return {
        "prompt": f"prompt {number}",
        "image1": image(2 * number),
        "image2": image(2 * number + 1),
        "model1": "a",
        "model2": "b",
        "weighted_results_image1_preference": share,
        "weighted_results_image2_preference": 1 - share,
        "weighted_results_image1_coherence": 1 - share,
        "detailed_results_preference": "[]",
    }


def test_pick_a_pic(tmp_path: Path) -> None:
    names = [
        f"data/{split}-00000-of-00001-b66ac786bf6fb553.parquet"
        for split in ("train", "validation_unique", "test")
    ]
    for number, name in enumerate(names):
        write_parquet(tmp_path / name, [pick_a_pic(10 * number), pick_a_pic(10 * number + 1, 0.0)])
    source = open_source(tmp_path)
    assert source.layout == "1 parquet file: Pick-a-Pic"
    assert sides(read(source)[0]) == [(png(0), png(1)), (png(3), png(2))]
    unique = open_source(tmp_path, Wanted(split="validation_unique"))
    assert [pair.prompt for pair in read(unique)[0]] == ["prompt 10", "prompt 11"]
    with pytest.raises(UserError, match="no files of split val: there are test, train, validation_unique"):
        open_source(tmp_path, Wanted(split="val"))


def test_labels_that_contradict_each_other(tmp_path: Path) -> None:
    labels = [(1.0, 0.0), (1.0, 1.0), (0.0, 0.0), (0.0, 1.0), (1.0, None), (1.0, 0.5)]
    table = [pick_a_pic(i, first, label_1=second) for i, (first, second) in enumerate(labels)]
    pairs, rejects = read(open_source(write_parquet(tmp_path / "x.parquet", table)))
    assert sides(pairs) == [(png(0), png(1)), (png(7), png(6)), (png(8), png(9))]
    assert rejects.counts == {"labels contradict": 2, "tie": 1}


def test_rapidata(tmp_path: Path) -> None:
    table = write_parquet(
        tmp_path / "data" / "train-00000-of-00001.parquet",
        [rapidata(i, s) for i, s in enumerate((0.9, 0.2, 0.5))],
    )
    source = open_source(tmp_path)
    assert source.layout == "1 parquet file: Rapidata"
    pairs, rejects = read(source)
    assert sides(pairs) == [(png(0), png(1)), (png(3), png(2))]
    assert rejects.counts == {"tie": 1}
    assert source.total == pq.read_metadata(table).num_rows


def test_rapidata_votes(tmp_path: Path) -> None:
    votes = [(10, 4), (0, 3), (5, 5), (0, 0), (-1, 3)]
    table = [
        {
            "prompt": "a",
            "image1": image(2 * i),
            "image2": image(2 * i + 1),
            "votes_image1": a,
            "votes_image2": b,
        }
        for i, (a, b) in enumerate(votes)
    ]
    for split in ("train_0001", "train_0002"):
        write_parquet(tmp_path / f"data/{split}-00000-of-00001.parquet", table)
    with pytest.raises(UserError, match="has the splits train_0001, train_0002: choose one with --split"):
        open_source(tmp_path)
    pairs, rejects = read(open_source(tmp_path, Wanted(split="train_*")))
    assert sides(pairs) == 2 * [(png(0), png(1)), (png(3), png(2))]
    assert rejects.counts == {"tie": 2, "not labelled": 2, "negative votes": 2}


def test_hpdv2(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    for number in range(4):
        (tmp_path / "train" / f"{number}.jpg").write_bytes(png(number))
        (tmp_path / "test" / f"{number}.jpg").write_bytes(png(10 + number))
    marks = [[1, 0], [0, 1], [0, 0]]
    (tmp_path / "train.json").write_text(
        json.dumps(
            [
                {"human_preference": m, "prompt": "ein Füchslein 狐", "file_path": ["0.jpg", "1.jpg"]}
                for m in marks
            ]
        )
    )
    ranked = {"prompt": "b", "image_path": ["0.jpg", "1.jpg", "2.jpg", "3.jpg"], "rank": [2, 0, 1, 1]}
    (tmp_path / "test.json").write_text(json.dumps([ranked | {"raw_annotations": []}]))
    source = open_source(tmp_path)
    assert source.layout == "train.json: HPDv2"
    pairs, rejects = read(source)
    assert [pair.prompt for pair in pairs] == ["ein Füchslein 狐"] * 2
    assert sides(pairs) == [(png(0), png(1)), (png(1), png(0))]
    assert rejects.counts == {"tie": 1}
    pairs, _ = read(open_source(tmp_path, Wanted(split="test")))
    order = [(1, 0), (2, 0), (3, 0), (1, 2), (1, 3)]  # the smallest rank is the best; 2 and 3 are a tie
    assert sides(pairs) == [(png(10 + better), png(10 + worse)) for better, worse in order]
    assert [pair.pair_id for pair in pairs] == [f"test.json:0#{i}" for i in range(5)]
    with pytest.raises(UserError, match="has no dev.json: choose --split train or test"):
        open_source(tmp_path, Wanted(split="dev"))


def test_hpdv3(tmp_path: Path) -> None:
    """The votes decide, whatever the order of the paths; rows of one annotator have none."""
    (tmp_path / "images").mkdir()
    for number in range(7):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(png(number))
    row = {"prompt": "a", "confidence": None, "model1": "x", "model2": "y"}
    votes = [[9, 1], [3, 9], None, [5, 5], [0, 4], "many"]
    listed = [
        row | {"path1": f"images/{i}.jpg", "path2": f"images/{i + 1}.jpg", "choice_dist": each}
        for i, each in enumerate(votes)
    ]
    (tmp_path / "train.json").write_text(json.dumps(listed, indent=1))
    source = open_source(tmp_path)
    assert source.layout == "train.json: HPDv3"
    pairs, rejects = read(source)
    assert sides(pairs) == [(png(0), png(1)), (png(2), png(1)), (png(2), png(3)), (png(5), png(4))]
    contradict = "votes contradict the order of the pictures, and decide"
    assert [pair.note for pair in pairs] == ["", contradict, "", contradict]
    assert rejects.counts == {"tie": 1, "unreadable label": 1}


def test_rapidatas_more_results(tmp_path: Path) -> None:
    """Votes as JSON in a text, beside a column `images` that holds no pictures."""
    votes = [
        '{"image_1": 7, "image_2": 3}',
        '{"image_2": 9, "image_1": 1}',
        '{"x.jpg": 2, "y.jpg": 1}',
        "{}",
        None,
    ]
    table = [
        {
            "id": str(i),
            "prompt": "a",
            "image1": image(2 * i),
            "image2": image(2 * i + 1),
            "images": "[]",
            "model1": "dev",
            "model2": "sd",
            "preference_responses": "[]",
            "aggregated_results": each,
            "detailed_results": "[]",
        }
        for i, each in enumerate(votes)
    ]
    source = open_source(write_parquet(tmp_path / "x.parquet", table))
    assert source.layout == "1 parquet file: Rapidata"
    pairs, rejects = read(source)
    assert sides(pairs) == [(png(0), png(1)), (png(3), png(2))]
    assert rejects.counts == {"unreadable label": 2, "not labelled": 1}


def test_mj_bench(tmp_path: Path) -> None:
    """Its label is the number of the better picture, not a score of the first."""
    table = [
        {"caption": "a", "image0": image(2 * i), "image1": image(2 * i + 1), "label": label}
        for i, label in enumerate((0, 1))
    ]
    source = open_source(write_parquet(tmp_path / "x.parquet", table))
    assert source.layout == "1 parquet file: MJ-Bench"
    assert sides(read(source)[0]) == [(png(0), png(1)), (png(3), png(2))]


def test_image_reward_db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row a picture; those of a prompt are compared with one another, the smallest rank is the best."""
    monkeypatch.setattr(parquet, "PART_ROWS", 2)
    ranks = [("x", 2), ("x", 1), ("x", 2), ("y", 1), ("y", 1), ("z", 1), ("w", 2), ("w", 1), ("x", 3)]
    table = [
        {
            "image": image(i),
            "prompt_id": group,
            "prompt": f"prompt {group}",
            "rank": rank,
            "overall_rating": 5,
        }
        for i, (group, rank) in enumerate(ranks)
    ]
    source = open_source(write_parquet(tmp_path / "x.parquet", table, row_group_size=2))
    assert source.layout == "1 parquet file: ImageRewardDB"
    assert [part.rows for part in source.parts] == [9]
    pairs, rejects = read(source)
    assert sides(pairs) == [(png(1), png(0)), (png(1), png(2)), (png(7), png(6))]
    assert [(pair.prompt, pair.pair_id) for pair in pairs] == [
        ("prompt x", "x.parquet:0#0"), ("prompt x", "x.parquet:0#1"), ("prompt w", "x.parquet:6")
    ]  # fmt: skip
    assert rejects.counts == {"tie": 1, "missing image": 1, "rows of a prompt lie apart": 1}


def test_image_reward_db_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PART_ROWS", 2)
    for number in range(3):
        (tmp_path / f"{number}.webp").write_bytes(png(number))
    table = [
        {"image_path": f"{i}.webp", "prompt_id": "x", "prompt": "a", "rank": rank}
        for i, rank in enumerate((3, 2, 1))
    ]
    (tmp_path / "x.json").write_text(json.dumps(table))
    assert sides(read(open_source(tmp_path / "x.json"))[0]) == [
        (png(1), png(0)), (png(2), png(0)), (png(2), png(1))
    ]  # fmt: skip


def test_too_many_pictures_of_one_prompt_are_not_compared(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(
        json.dumps([{"prompt": "a", "images": ["0.png"] * 101, "ranks": [1] * 101}])
    )
    assert read(open_source(tmp_path / "x.json"))[1].counts == {"too many pictures": 1}
    row = {"image_path": "0.png", "prompt_id": "x", "prompt": "a", "rank": 1}
    (tmp_path / "x.json").write_text(json.dumps([row] * 102))
    assert read(open_source(tmp_path / "x.json"))[1].counts == {"too many pictures": 2, "tie": 1}


def test_verl_omni(tmp_path: Path) -> None:
    """Prompts as chats, and names of files beside the table."""
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    chat = [{"role": "system", "content": "You draw."}, {"role": "user", "content": "a red circle"}]
    table = [{"prompt": chat, "img_win": "1.png", "img_lose": "0.png", "win_score": 2.0, "lose_score": 1.0}]
    source = open_source(write_parquet(tmp_path / "x.parquet", table))
    assert source.layout == "1 parquet file: verl-omni"
    pairs, _ = read(source)
    assert (pairs[0].prompt, *sides(pairs)) == ("a red circle", (png(1), png(0)))


def test_arena_with_a_winner(tmp_path: Path) -> None:
    winners = ["model_a", "model_b", "tie (bothbad)", "flux", "nobody"]
    table = [
        {
            "prompt": "a",
            "image_a": png(2 * i),
            "image_b": png(2 * i + 1),
            "model_a": "sd",
            "model_b": "flux",
            "winner": each,
        }
        for i, each in enumerate(winners)
    ]
    pairs, rejects = read(open_source(write_parquet(tmp_path / "x.parquet", table)))
    assert sides(pairs) == [(png(0), png(1)), (png(3), png(2)), (png(7), png(6))]
    assert rejects.counts == {"tie": 1, "unreadable label": 1}


@pytest.mark.parametrize("shown", ["images", "image"])
def test_texts_about_a_picture_are_refused(tmp_path: Path, shown: str) -> None:
    """Rows of TRL's vision models; nothing is taken for the name of a file."""
    answer = [{"role": "assistant", "content": [{"type": "text", "text": "a cat"}]}]
    table = [{shown: [image(0)], "prompt": "What is it?", "chosen": answer, "rejected": answer}]
    file = write_parquet(tmp_path / "x.parquet", table)
    with pytest.raises(UserError, match=rf"column {shown} beside chosen and rejected: rows of TRL's kind"):
        open_source(file)
    own = Wanted({"chosen": "chosen", "rejected": "rejected"})
    assert read(open_source(file, own))[1].counts == {"no picture": 1}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (list(png(0)), None),
        (base64.b64encode(png(0)).decode(), None),
        (f"data:image/png;base64,{base64.b64encode(png(0)).decode()}", None),
        (base64.encodebytes(png(0)).decode(), None),
        ("https://example.org/0.png", "picture is an address"),
        ("s3://bucket/0.png", "picture is an address"),
        ("data:image/png;base64,iVBORw0KGgo!", "unreadable image"),
        ([1.5, 2.5], "no picture"),
        ([300, 400], "no picture"),
        ([{"role": "user", "content": "a"}], "no picture"),
        (7, "missing image"),
    ],
)
def test_what_a_cell_of_a_picture_holds(tmp_path: Path, cell: Any, reason: str | None) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"prompt": "a", "chosen": cell, "rejected": cell}) + "\n")
    pairs, rejects = read(open_source(tmp_path / "x.jsonl"))
    assert [pair.chosen for pair in pairs] == ([] if reason else [png(0)])
    assert rejects.counts == ({reason: 1} if reason else {})


def test_trl_columns_with_pictures(tmp_path: Path) -> None:
    table = [{"prompt": "a", "chosen": image(0), "rejected": image(1)}]
    source = open_source(write_parquet(tmp_path / "x.parquet", table))
    assert source.layout == "1 parquet file: prompt, chosen, rejected"
    assert sides(read(source)[0]) == [(png(0), png(1))]


def test_folders_of_winners_and_losers(tmp_path: Path) -> None:
    for side, first in (("w", 0), ("l", 10)):
        (tmp_path / side).mkdir()
        for number, name in enumerate(("a", "b", "c.v2", "d", "e")):
            ending = "png" if side == "w" else "JPG"
            (tmp_path / side / f"{name}.{ending}").write_bytes(png(first + number))
    (tmp_path / "l" / "e.JPG").unlink()
    (tmp_path / "w" / "a.txt").write_text("\ufeffbeside the better\n", encoding="utf-8")
    (tmp_path / "l" / "b.txt").write_text("beside the worse")
    (tmp_path / "c.v2.txt").write_text("in the folder")
    (tmp_path / "w" / "notes.md").write_text("no picture")
    source = open_source(tmp_path)
    assert source.layout == "folders w/ and l/ with pictures of equal names"
    pairs, rejects = read(source)
    assert [pair.prompt for pair in pairs] == ["beside the better", "beside the worse", "in the folder"]
    assert sides(pairs) == [(png(i), png(10 + i)) for i in range(3)]
    assert rejects.counts == {"missing prompt": 1, "missing image": 1}
    assert "no d with .txt" in rejects.bad_rows[0]["detail"]
    (tmp_path / "w" / "a.jpg").write_bytes(png(0))
    with pytest.raises(UserError, match=r"has both a\.\w+ and a\.\w+"):
        open_source(tmp_path)


def labelled(key: str, number: int, label: float) -> dict[str, bytes | str]:
    about = json.dumps({"caption": f"prompt {number}", "label_0": label})
    return {f"{key}.0.png": png(2 * number), f"{key}.1.png": png(2 * number + 1), f"{key}.json": about}


def test_webdataset(tmp_path: Path) -> None:
    first = labelled("x/0001", 0, 1) | labelled("x/0002", 1, 0) | labelled("y/0002", 2, 0.5)
    first |= {"x/0003.json": "{broken", "x/0003.0.png": png(0), "x/0004.0.png": png(0), "README.md": "hello"}
    tar(tmp_path / "train-00000.tar", first)
    second = {"1.chosen.png": png(8), "1.rejected.png": png(9), "1.txt": "a\n"}
    tar(tmp_path / "train-00001.tar.gz", second, "w:gz")
    source = open_source(tmp_path)
    assert source.layout == "2 tars: prompt, image_0, image_1, label_0"
    pairs, rejects = read(source)
    assert sides(pairs) == [(png(0), png(1)), (png(3), png(2)), (png(8), png(9))]
    assert [pair.pair_id for pair in pairs] == [
        "train-00000.tar:x/0001",
        "train-00000.tar:x/0002",
        "train-00001.tar.gz:1",
    ]
    assert pairs[2].prompt == "a"
    assert rejects.counts == {"tie": 1, "malformed row": 1, "incomplete sample": 1}
    assert len(source.parts) == 2


def test_a_tar_cut_in_half_is_named(tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tar", labelled("1", 0, 1) | labelled("2", 1, 1))
    file.write_bytes(file.read_bytes()[:12_000])
    source = open_source(file)
    with pytest.raises(UserError, match=r"a\.tar is damaged behind sample 2"):
        read(source)
    tar(tmp_path / "b.tar", {"1.png": png(0), "1.txt": "a"})
    with pytest.raises(UserError, match=r"b\.tar has columns png, prompt; needed are"):
        open_source(tmp_path / "b.tar")


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "json"])
def test_rows_are_read_in_parts_from_their_places_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(rows, "PART_ROWS", 3)
    monkeypatch.setattr(text_tables, "CHUNK", 50)
    prompts = ["plain", 'with "quotes", and\na line', "ein Füchslein 狐 🦊", "[}", "", *map(str, range(6))]
    found = [{"prompt": prompt, "chosen": "0.png", "rejected": "1.png"} for prompt in prompts]
    file = tmp_path / f"pairs.{suffix}"
    if suffix == "json":
        text = json.dumps(found, indent=2, ensure_ascii=False)
    elif suffix == "jsonl":
        text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in found)
    else:
        comma = "," if suffix == "csv" else "\t"
        quoted = [
            comma.join(f'"{cell}"' for cell in (p.replace('"', '""'), "0.png", "1.png")) for p in prompts
        ]
        text = "\n".join([comma.join(("prompt", "chosen", "rejected")), *quoted])
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    source = open_source(file)
    assert [part.rows for part in source.parts] == [3, 3, 3, 2]
    pairs, rejects = read(source)
    assert [pair.prompt for pair in pairs] == [prompt for prompt in prompts if prompt]
    assert rejects.counts == {"empty prompt": 1}
    alone = list(source.parts[2].read(Rejects()))
    assert alone == [pair for pair in pairs if pair.prompt in ("1", "2", "3")]
    assert source.parts[0].name != open_again(file, b" ").parts[0].name


def open_again(file: Path, more: bytes) -> Source:
    file.write_bytes(file.read_bytes() + more)
    return open_source(file)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"prompt": "a"}', "holds no JSON list"),
        ("", "holds no JSON list"),
        ('[{"prompt": "a"}, {"prom', "is cut or no JSON behind row 0"),
        ('[{"prompt": "a"} {"x": oops}]', "is cut or no JSON behind row 0"),
        ("[]", "lists no pairs"),
        ('["a", 1]', "lists no pairs"),
    ],
)
def test_json_that_is_no_list_of_rows(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=sentence):
        open_source(tmp_path / "x.json")


def test_parquet_parts_are_row_groups_of_enough_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 4)
    for number, count in enumerate((10, 1, 1, 3)):
        start = 100 * number
        write_parquet(
            tmp_path / f"{number}.parquet", [pick_a_pic(start + i) for i in range(count)], row_group_size=3
        )
    source = open_source(tmp_path)
    assert [part.rows for part in source.parts] == [6, 4, 5]
    pairs, _ = read(source)
    assert [pair.pair_id for pair in pairs] == [
        *(f"0.parquet:{i}" for i in range(10)), "1.parquet:0", "2.parquet:0", *(f"3.parquet:{i}" for i in range(3))
    ]  # fmt: skip
    assert [pair.prompt for pair in source.parts[1].read(Rejects())] == [f"prompt {i}" for i in range(6, 10)]


def test_without_labels_where_a_scorer_decides(tmp_path: Path) -> None:
    table = [{"prompt": "a", "image_0": png(0), "image_1": png(1), "has_label": False}]
    file = write_parquet(tmp_path / "x.parquet", table)
    with pytest.raises(UserError, match="needed are"):
        open_source(file)
    assert sides(read(open_source(file, Wanted(labelled=False)))[0]) == [(png(0), png(1))]
    tied = write_parquet(tmp_path / "y.parquet", [pick_a_pic(1, 0.5)])
    assert len(read(open_source(tied, Wanted(labelled=False)))[0]) == 1
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    (tmp_path / "z.json").write_text(
        '[{"prompt": "a", "image_path": ["0.png", "1.png", "2.png"], "rank": [1, 1, 1]}]'
    )
    assert len(read(open_source(tmp_path / "z.json", Wanted(labelled=False)))[0]) == 3


@pytest.mark.parametrize(("word", "kept"), [("False", 0), ("false", 0), ("0", 0), ("True", 1), ("", 1)])
def test_yes_and_no_in_csv(tmp_path: Path, word: str, kept: int) -> None:
    (tmp_path / "x.csv").write_text(f"prompt,image_0,image_1,label_0,has_label\na,0.png,1.png,1,{word}\n")
    assert len(read(open_source(tmp_path / "x.csv"))[0]) == kept


def test_half_a_surrogate_pair_is_a_bad_row(tmp_path: Path) -> None:
    row = '{"prompt": "a %s", "chosen": "0.png", "rejected": "1.png"}\n'
    (tmp_path / "x.jsonl").write_text(row % "\\ud83d\\ude00" + row % "\\ud83d")
    assert read(open_source(tmp_path / "x.jsonl"))[1].counts == {"prompt is no Unicode text": 1}


def test_imagefolder_with_splits_and_with_parquet(tmp_path: Path) -> None:
    row = {"prompt": "a", "chosen_file_name": "0.png", "rejected_file_name": "1.png"}
    for split in ("train", "validation"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "metadata.jsonl").write_text(json.dumps(row | {"prompt": split}))
    assert [pair.prompt for pair in read(open_source(tmp_path))[0]] == ["train"]
    assert [p.prompt for p in read(open_source(tmp_path, Wanted(split="validation")))[0]] == ["validation"]
    write_parquet(tmp_path / "other" / "metadata.parquet", [row])
    pairs, _ = read(open_source(tmp_path / "other"))
    assert pairs[0].chosen == (tmp_path / "other" / "0.png").resolve()


def test_a_folder_with_one_table_and_with_two(tmp_path: Path) -> None:
    text = "prompt,chosen,rejected\na,0.png,1.png\n"
    (tmp_path / "votes.csv").write_text(text)
    assert len(read(open_source(tmp_path))[0]) == 1
    (tmp_path / "more.csv").write_text(text)
    with pytest.raises(UserError, match=r"has more\.csv, votes\.csv: give --data one of them"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["win", "chosen"])
def test_other_names_of_the_two_folders(tmp_path: Path, name: str) -> None:
    for side in dict(pair_folders.NAMES).items():
        if side[0] == name:
            for folder in side:
                (tmp_path / folder).mkdir()
            assert pair_folders.side_folders(tmp_path) == (tmp_path / side[0], tmp_path / side[1])
    with pytest.raises(UserError, match="hold no pictures"):
        open_source(tmp_path)


def test_split_names() -> None:
    assert split_of("data/train-00000-of-00645-b66ac786bf6fb553.parquet") == "train"
    assert split_of("data/validation_unique-00000-of-00001.parquet") == "validation_unique"
    assert split_of("default/partial-train/0000.parquet") == "train"
    assert split_of("train.parquet") == split_of("train_3.tar") == "train"
    assert split_of("data/0.parquet") is None
    assert split_of("trained/on/this.parquet") is None
    assert of_split(splits_of(["a.tar", "b.tar"]), None, "x") == ["a.tar", "b.tar"]
    assert of_split(splits_of(["test.tar"]), None, "x") == ["test.tar"]
    with pytest.raises(UserError, match="its files' names say nothing of splits"):
        of_split(splits_of(["a.tar"]), "train", "x")
