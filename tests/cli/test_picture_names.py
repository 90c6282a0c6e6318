"""Pictures and their prompts under the names people give them: read, or counted and named."""

from __future__ import annotations

import io
import json
import tarfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from cli_checks import assert_one_sentence
from pair_data import picture, png
from PIL import Image

from ddecli.core.images import FORMATS, image_suffixes
from ddecli.data.store import PairStore

Run = Callable[..., Any]
NAMES = ("a.PNG", "b.jfif", "c.webp", "d.JPEG", "e.jpe", "f.Tif", "g.gif", "h.bmp")
KINDS = {".jfif": "JPEG", ".jpe": "JPEG", ".tif": "TIFF"}
Image.init()


def save(path: Path, number: int) -> None:
    ending = path.suffix.lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(number).save(path, KINDS.get(ending, ending[1:].upper()))


@pytest.fixture
def clip(tmp_path: Path) -> str:
    return f"clip={tiny_models.save_clip(tmp_path / 'clip')}"


def prepared(ddecli: Run, model: Path, data: str, *options: object) -> tuple[dict[str, Any], list[str], str]:
    """The summary, the prompts of the pairs, and what was said."""
    typed = ddecli(
        "prepare", "--model", model, "--data", data, "--out", "store", "--json", "--overwrite", *options
    )
    assert typed.code == 0, typed.error
    store = PairStore.open(Path("store"))
    return json.loads(typed.out), [store.pair(i).prompt for i in range(len(store))], typed.error


def test_the_endings_are_those_of_pillow() -> None:
    assert {
        ".png",
        ".jpg",
        ".jpeg",
        ".jfif",
        ".jpe",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
    } <= image_suffixes()
    assert (".avif" in image_suffixes()) == (".avif" in Image.registered_extensions())
    assert not {".eps", ".ps", ".pdf", ".heic", ".txt", ".svg"} & image_suffixes()
    for ending in image_suffixes():
        assert Image.registered_extensions()[ending] in (*FORMATS, "MPO")


def test_pairs_of_every_ending(ddecli: Run, sd_folder: Path) -> None:
    names = [*NAMES, "i.avif"] if ".avif" in image_suffixes() else NAMES
    for number, name in enumerate(names):
        save(Path("data/w", name), 2 * number)
        save(Path("data/l", name), 2 * number + 1)
        Path("data/w", name).with_suffix(".txt").write_text(f"prompt {name}")
    summary, prompts, said = prepared(ddecli, sd_folder, "data")
    assert prompts == [f"prompt {name}" for name in names]
    assert (summary["rows"], summary["left_out"]) == (len(names), {})
    assert "Left out" not in said


def test_what_is_no_picture_of_ours_is_counted_and_named(ddecli: Run, sd_folder: Path) -> None:
    for number in range(3):
        for side in ("w", "l"):
            save(Path(f"data/{side}/{number}.png"), 2 * number + (side == "l"))
        Path(f"data/w/{number}.txt").write_text("a")
    for name in ("w/3.heic", "l/3.HEIC", "w/4.eps", "l/README", "w/metadata.csv", "w/.hidden.heic"):
        Path("data", name).write_text("x")
    Path("data/w/more").mkdir()
    summary, prompts, said = prepared(ddecli, sd_folder, "data")
    assert len(prompts) == 3
    assert summary["left_out"] == {".heic": 2, ".eps": 1, "folder": 1, "without ending": 1}
    assert "Left out of data: 1 .eps, 2 .heic, 1 folder, 1 without ending" in said
    assert "save HEIC and JPEG XL as PNG or JPEG" in said
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "store", "--overwrite")
    assert "2 .heic" in typed.out
    for side in ("w", "l"):
        Path("none", side).mkdir(parents=True)
        Path("none", side, "1.heic").write_text("x")
    typed = ddecli("prepare", "--model", sd_folder, "--data", "none", "--out", "x")
    assert_one_sentence(typed, "none/w and none/l hold no pictures, only 2 .heic", "PNG or JPEG")


def test_a_heic_that_a_table_or_a_tar_names(ddecli: Run, sd_folder: Path) -> None:
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    Path("data").mkdir()
    rows = [{"prompt": "a", "chosen": f"{i}.png", "rejected": "9.png"} for i in range(2)]
    rows.append({"prompt": "a", "chosen": "2.heic", "rejected": "9.png"})
    Path("data/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for number in (0, 1, 9):
        save(Path(f"data/{number}.png"), number)
    Path("data/2.heic").write_bytes(heic)
    summary, _, _ = prepared(ddecli, sd_folder, "data", "--max-bad", 0.5)
    assert summary["dropped"] == {"unreadable image": 1}
    assert "HEIC, which is not read" in Path("store/bad-rows.jsonl").read_text()
    row = b'{"prompt": "a", "label_0": 1}'
    with tarfile.open("x.tar", "w") as tar:
        for key, kind, first in (("0", "png", png(0)), ("1", "heic", heic)):
            files = {f"{key}.0.{kind}": first, f"{key}.1.png": png(7), f"{key}.json": row}
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    summary, _, _ = prepared(ddecli, sd_folder, "x.tar", "--max-bad", 0.5)
    assert summary["dropped"] == {"unreadable image": 1}
    assert ".0.heic is not read: save it as PNG or JPEG" in Path("store/bad-rows.jsonl").read_text()


def test_scoring_images_of_every_ending(ddecli: Run, clip: str) -> None:
    for number, name in enumerate(NAMES):
        save(Path("images", name), number)
        Path("images", name).with_suffix(".txt").write_text("a red circle")
    for name in ("x.heic", "y.mp4", "notes.md", "contact-sheet.png"):
        Path("images", name).write_text("x")
    arguments = ("score", "images", "--metric", "clip", "--scorer", clip)
    typed = ddecli(*arguments, "--json")
    assert typed.code == 0, typed.error
    answer = json.loads(typed.out)
    assert (answer["scores"][0]["images"], answer["skipped"]) == (len(NAMES), 0)
    assert answer["left_out"] == {".heic": 1, ".mp4": 1}
    assert "Left out of images: 1 .heic, 1 .mp4" in typed.error
    Path("heic").mkdir()
    Path("images/x.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    Path("images/x.heic").rename("heic/x.heic")
    assert_one_sentence(
        ddecli("score", "heic", *arguments[2:], "--prompt", "a"), "heic has no image files, only 1 .heic"
    )
    typed = ddecli("score", "heic/x.heic", *arguments[2:], "--prompt", "a", "--family", "real")
    assert_one_sentence(typed, "heic/x.heic")


def test_prompts_of_other_endings(ddecli: Run, sd_folder: Path, clip: str) -> None:
    """`.caption` is what kohya's scripts write; a `.txt` beside it counts."""
    for number in range(4):
        save(Path(f"data/w/{number}.png"), 2 * number)
        save(Path(f"data/l/{number}.png"), 2 * number + 1)
    texts = {"0.caption": "zero", "1.TXT": "one", "2.txt": "two", "2.caption": "other", "2.TXT": "third"}
    for name, text in texts.items():
        Path("data/w", name).write_text(text)
    Path("data/3.Caption").write_text("three")
    _, prompts, _ = prepared(ddecli, sd_folder, "data")
    assert prompts == ["zero", "one", "two", "three"]
    Path("data/w/3.png").unlink()
    arguments = ("--metric", "clip", "--scorer", clip, "--json", "--family", "tiny")
    typed = ddecli("score", "data/w", *arguments)
    assert json.loads(typed.out)["scores"][0]["images"] == 3
    typed = ddecli("score", "data/w/0.png", *arguments)
    assert typed.code == 0, typed.error
    assert json.loads(typed.out)["images"][0]["prompt"] == "zero"


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_with_accents(ddecli: Run, sd_folder: Path, clip: str, forms: tuple[str, str]) -> None:
    on_disk, written = forms
    for number, name in enumerate(("café.png", "thé.png")):
        save(Path("data", unicodedata.normalize(on_disk, name)), number)
    names = [unicodedata.normalize(written, name) for name in ("café.png", "thé.png")]
    row = {"prompt": "a", "chosen": names[0], "rejected": names[1]}
    Path("data/metadata.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    assert prepared(ddecli, sd_folder, "data")[1] == ["a"]
    rows = [{"file_name": name, "prompt": "a"} for name in names]
    Path("data/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    typed = ddecli("score", "data", "--metric", "clip", "--scorer", clip, "--json", "--family", "tiny")
    assert json.loads(typed.out)["scores"][0]["images"] == 2
    for side, form in zip(("w", "l"), forms, strict=True):
        save(Path("sides", side, unicodedata.normalize(form, "café.png")), 2 + (side == "l"))
    Path("sides/w", unicodedata.normalize(written, "café.txt")).write_text("b")
    assert prepared(ddecli, sd_folder, "sides")[1] == ["b"]


def test_names_of_windows(ddecli: Run, sd_folder: Path, clip: str) -> None:
    for number in range(4):
        save(Path(f"data/images/{number}.png"), number)
    rows = [
        {"prompt": f"p{i}", "chosen": f"images\\{2 * i}.png", "rejected": f".\\images\\{2 * i + 1}.png"}
        for i in range(2)
    ]
    Path("data/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert prepared(ddecli, sd_folder, "data")[1] == ["p0", "p1"]
    rows = [{"file_name": f"images\\{i}.png", "prompt": "a"} for i in range(4)]
    Path("data/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    typed = ddecli("score", "data", "--metric", "clip", "--scorer", clip, "--json", "--family", "tiny")
    assert json.loads(typed.out)["scores"][0]["images"] == 4
    rows = [{"prompt": "a", "chosen": "..\\secret.png", "rejected": "C:\\images\\0.png"}]
    save(Path("secret.png"), 9)
    Path("data/metadata.jsonl").write_text(json.dumps(rows[0]))
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "x")
    assert_one_sentence(typed, "path leaves the folder")
