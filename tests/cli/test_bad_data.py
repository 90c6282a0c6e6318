"""Anybody's pictures, rows and shards through the commands: used rightly, or counted, listed and left out."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_models
import torch
from cli_checks import assert_one_sentence, contents
from odd_pictures import BROKEN, GOOD, POSTSCRIPT, TOO_SMALL, as_file
from pair_data import png, write_folder
from PIL import Image
from safetensors.torch import load_file, save_file

from ddecli.core.protocol import prompt_id
from ddecli.data.store import PairStore

Run = Callable[..., Any]
Damage = Callable[[Path], object]

BAD_ROWS: list[tuple[dict[str, object] | str, str]] = [
    ("{broken", "malformed row"),
    ('["a list"]', "malformed row"),
    ({"prompt": " ", "chosen": "plain.png", "rejected": "other.png"}, "empty prompt"),
    ({"prompt": "a", "chosen": "none.png", "rejected": "other.png"}, "missing image"),
    ({"prompt": "a", "chosen": "plain.png"}, "missing image"),
    ({"prompt": "a", "chosen": "../secret.png", "rejected": "other.png"}, "path leaves the folder"),
    ({"prompt": "a", "chosen": "{folder}/../secret.png", "rejected": "other.png"}, "path leaves the folder"),
    ({"prompt": "a", "chosen": "link.png", "rejected": "other.png"}, "path leaves the folder"),
]


@pytest.fixture(autouse=True)
def no_picture_starts_a_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A `gs` that leaves a trace stands where Pillow looks for Ghostscript."""
    started, program = tmp_path / "started", tmp_path / "bin" / "gs"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho >> {started}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # it keeps what it found
    yield
    assert not started.exists()


@pytest.fixture
def pictures() -> Path:
    """A folder of pictures of every kind, each beside the same picture as plain RGB (`plain-...`)."""
    folder = Path("data")
    folder.mkdir()
    for name, (content, same) in GOOD.items():
        (folder / name).write_bytes(content)
        (folder / f"plain-{name}").write_bytes(as_file(same.convert("RGB"), "PNG"))
    for name, (content, _) in (BROKEN | TOO_SMALL).items():
        (folder / name).write_bytes(content)
    for number, path in enumerate((folder / "plain.png", folder / "other.png", Path("secret.png"))):
        path.write_bytes(png(number))
    (folder / "link.png").symlink_to(Path("secret.png").resolve())
    return folder


def test_prepare_uses_every_kind_of_picture_and_lists_every_bad_row(
    ddecli: Run, sd_folder: Path, pictures: Path
) -> None:
    rows: list[Any] = []
    for name in GOOD:  # the same pixels, so the second pair is a duplicate of the first
        rows += [
            {"prompt": name, "chosen": each, "rejected": "other.png"} for each in (name, f"plain-{name}")
        ]
    broken = BROKEN | TOO_SMALL
    rows += [{"prompt": "a", "chosen": "plain.png", "rejected": name} for name in broken]
    rows += [row for row, _ in BAD_ROWS]
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    text = "\n".join(lines).replace("{folder}", str(pictures.resolve()))
    (pictures / "metadata.jsonl").write_text(text)

    arguments = ("prepare", "--model", sd_folder, "--data", pictures, "--out", "store")
    typed = ddecli(*arguments, "--max-bad", 0.9, "--json")
    assert typed.code == 0, typed.error
    reasons = [reason for _, reason in [*broken.values(), *BAD_ROWS]]
    summary = json.loads(typed.out)
    assert summary["dropped"] == {"duplicate of another pair": len(GOOD), **Counter(reasons)}
    store = PairStore.open(Path("store"))
    assert [store.pair(i).prompt for i in range(len(store))] == list(GOOD)
    assert summary["images"] == len(GOOD) + 1  # with other.png
    listed = [json.loads(line) for line in Path("store/bad-rows.jsonl").read_text().splitlines()]
    first = 2 * len(GOOD) + 1
    expected = {f"metadata.jsonl:{first + i}": reason for i, reason in enumerate(reasons)}
    assert {bad["row"]: bad["reason"] for bad in listed} == expected

    before = contents("store")
    typed = ddecli(*arguments, "--overwrite", "--batch-size", 64)  # which are read at once
    assert_one_sentence(typed, f"{len(reasons)} of {len(rows)} rows are bad", "store.bad-rows.jsonl")
    assert contents("store") == before


def test_score_uses_every_kind_of_picture_and_lists_the_rest(
    ddecli: Run, pictures: Path, tmp_path: Path
) -> None:
    scorer = f"clip={tiny_models.save_clip(tmp_path / 'clip')}"
    rows: list[dict[str, object]] = []
    for name in GOOD:
        rows += [{"file_name": each, "prompt": name} for each in (name, f"plain-{name}")]
    rows += [{"file_name": name, "prompt": "a"} for name in (*TOO_SMALL, *BROKEN)]
    rows += [{"file_name": "none.png", "prompt": "a"}, {"file_name": "../secret.png", "prompt": "a"}]
    rows += [{"file_name": "plain.png", "prompt": " "}, {"file_name": "plain.png"}, {"prompt": "a"}]
    rows += [{"file_name": "plain.png", "prompt": "b", "image_index": 0}] * 2
    rows += [{"file_name": "plain.png", "prompt": prompt} for prompt in ("word " * 2000, "赤い丸 🙂 круг")]
    write_folder(pictures, rows)
    arguments = ("score", pictures, "--metric", "clip", "--scorer", scorer)
    typed = ddecli(*arguments, "--max-bad", 0.5, "--json")
    assert typed.code == 0, typed.error
    skipped = [json.loads(line) for line in (pictures / "scores-skipped.jsonl").read_text().splitlines()]
    assert Counter(row["reason"] for row in skipped) == {
        "path leaves the folder": 1,
        "empty prompt": 1,
        "no prompt": 1,
        "row without file_name": 1,
        "repeated row": 1,
        "missing image": 1,
        **Counter(reason for _, reason in BROKEN.values()),
    }
    table = [row for row in pq.read_table(pictures / "scores.parquet").to_pylist() if row["metric"] == "clip"]
    by_prompt: dict[str, list[float]] = {}
    for row in table:
        by_prompt.setdefault(row["prompt_id"], []).append(row["score"])
    twins = [scores for scores in by_prompt.values() if len(scores) == 2]
    assert len(twins) == len(GOOD)
    assert all(odd == pytest.approx(plain, abs=1e-5) for odd, plain in twins)
    assert len(table) == len(rows) - len(skipped)

    before = contents(pictures)
    assert_one_sentence(ddecli(*arguments), "cannot be used", "--max-bad")
    assert contents(pictures) == before


def test_what_is_drawn_of_a_sample_opens_the_same_formats_only(ddecli: Run, tmp_path: Path) -> None:
    scorer = f"clip={tiny_models.save_clip(tmp_path / 'clip')}"
    for name in ("base", "tuned"):
        rows = [
            {"file_name": f"{i}.png", "prompt": "a", "prompt_id": prompt_id("a"), "image_index": i}
            for i in range(3)
        ]
        write_folder(Path(name), rows, 3)
        Path(name, "protocol.json").write_text(json.dumps({"steps": 2, "model": {"name": name}}))
        Path(name, "0.png").write_bytes(POSTSCRIPT)
    typed = ddecli("score", "tuned", "--against", "base", "--metric", "clip", "--scorer", scorer)
    assert typed.code == 0, typed.error
    with Image.open("tuned/beside-base.png") as sheet:
        assert sheet.format == "PNG"
    figure = ("figure", "images", "Base=base", "DDE=tuned", "--prompts", 1, "--out", "figure")
    assert_one_sentence(ddecli(*figure), "base/0.png", "PostScript", "save it as PNG or JPEG")
    assert ddecli(*figure, "--image-index", 1).code == 0


def test_inception_names_a_picture_it_cannot_read(ddecli: Run, tmp_path: Path) -> None:
    classifier = tiny_models.save_classifier(tmp_path / "classifier")
    Path("pictures").mkdir()
    for name in ("16-bit.png", "alpha.png", "rotated.jpg"):
        Path("pictures", name).write_bytes(GOOD[name][0])
    arguments = ("inception", "pictures", "--classifier", classifier, "--splits", 1)
    typed = ddecli(*arguments)
    assert typed.code == 0, typed.error
    before = contents("pictures")
    Path("pictures/cut.jpg").write_bytes(BROKEN["cut.jpg"][0])
    assert_one_sentence(ddecli(*arguments), "1 of 4 images cannot be read", "cut.jpg")
    assert Path("pictures/inception.json").read_bytes() == before["inception.json"]


def pick_a_pic(number: int, label: float | None = 1.0, **more: Any) -> dict[str, Any]:
    row = {"caption": f"prompt {number}", "jpg_0": png(2 * number), "jpg_1": png(2 * number + 1)}
    return row | {"label_0": label} | more


def write_shard(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path, compression="gzip")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hole(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200 : len(content) // 2] = bytes(len(content) // 2 - 200)
    path.write_bytes(content)


DAMAGED_SHARDS: list[tuple[Damage, str]] = [
    (cut, "1.parquet cannot be read as parquet"),
    (hole, "1.parquet is damaged at row 0"),
    (lambda path: path.write_text("no parquet"), "1.parquet cannot be read as parquet"),
    (lambda path: write_shard(path, [{"caption": "a", "jpg_0": png(0)}]), "1.parquet has columns caption"),
    (lambda path: write_shard(path, [{"prompt": "a", "image": png(0)}]), "needed are prompt, chosen"),
]


def test_prepare_counts_ties_and_names_a_damaged_shard(ddecli: Run, sd_folder: Path) -> None:
    Path("shards").mkdir()
    rows = [pick_a_pic(0), pick_a_pic(1, 0.0), pick_a_pic(2, 0.5), pick_a_pic(3, None), pick_a_pic(4, 7.0)]
    rows += [
        pick_a_pic(0),
        pick_a_pic(5, jpg_1=png(10)),
        pick_a_pic(6, caption=""),
        pick_a_pic(7, jpg_0=None),
    ]
    write_shard(Path("shards/0.parquet"), rows)
    arguments = ("prepare", "--model", sd_folder, "--data", "shards", "--out", "store", "--max-bad", 0.4)
    typed = ddecli(*arguments, "--json")
    assert typed.code == 0, typed.error
    assert json.loads(typed.out)["pairs"] == 2
    assert json.loads(typed.out)["dropped"] == {
        "tie": 1,
        "not labelled": 1,
        "label outside 0 to 1": 1,
        "duplicate of another pair": 1,
        "chosen and rejected are the same picture": 1,
        "empty prompt": 1,
        "missing image": 1,
    }
    before = contents("store")
    for damage, sentence in DAMAGED_SHARDS:
        write_shard(Path("shards/1.parquet"), [pick_a_pic(number) for number in range(8, 12)])
        damage(Path("shards/1.parquet"))
        assert_one_sentence(ddecli(*arguments, "--overwrite"), sentence)
        assert contents("store") == before


def test_pictures_of_any_size_and_shape_are_used_and_the_small_ones_counted(
    ddecli: Run, sdxl_folder: Path
) -> None:
    sizes = [
        (16, 64),
        (64, 16),
        (32, 32),
        (300, 200),
        (33, 31),
        (8, 32),
    ]  # width, height; 1:4 and 4:1 among them
    rows = [{"prompt": "a", "chosen": f"{i}.png", "rejected": f"{i + 1}.png"} for i in (0, 2, 4)]
    write_folder(Path("data"), rows)
    for number, size in enumerate(sizes):
        Path(f"data/{number}.png").write_bytes(png(number, size))
    typed = ddecli("prepare", "--model", sdxl_folder, "--data", "data", "--out", "store", "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert (summary["pairs"], summary["images"], summary["upscaled_images"]) == (3, 6, 4)
    store = PairStore.open(Path("store"))
    both = torch.stack([store.chosen_index, store.rejected_index], dim=1).flatten()
    assert store.sizes(both).tolist() == [
        [64, 16, 48, 0, 32, 32],
        [16, 64, 0, 48, 32, 32],
        [32, 32, 0, 0, 32, 32],
        [200, 300, 0, 8, 32, 32],
        [31, 33, 0, 1, 32, 32],
        [32, 8, 48, 0, 32, 32],
    ]
    assert store.latents(both).shape == (6, 4, 8, 8)


def test_an_autoencoder_that_overflows(ddecli: Run, sd_folder: Path) -> None:
    """In float16, as SDXL's own does: the rows are named, and the way out."""
    model = Path(shutil.copytree(sd_folder, "overflows"))
    weights = load_file(model / "vae/diffusion_pytorch_model.safetensors")
    weights["encoder.conv_in.weight"] *= 1e5
    save_file(weights, model / "vae/diffusion_pytorch_model.safetensors", {"format": "pt"})
    rows = [{"prompt": "a", "chosen": f"{i}.png", "rejected": f"{i + 1}.png"} for i in (0, 2, 4)]
    write_folder(Path("data"), rows, 3)
    for number, level in ((3, 127), (4, 128), (5, 129)):  # all but 0 where the autoencoder sees them
        Image.new("RGB", (32, 32), (level,) * 3).save(f"data/{number}.png")
    arguments = ("prepare", "--model", model, "--data", "data", "--out", "store", "--precision", "float16")
    typed = ddecli(*arguments)
    assert_one_sentence(
        typed, "2 of 3 rows are bad", "latent not finite", "overflows in float16: give --precision float32"
    )
    assert not Path("store").exists()
    typed = ddecli(*arguments, "--max-bad", 0.7, "--json")
    assert typed.code == 0, typed.error
    assert (json.loads(typed.out)["pairs"], json.loads(typed.out)["images"]) == (1, 3)
    listed = [json.loads(line) for line in Path("store/bad-rows.jsonl").read_text().splitlines()]
    assert [(bad["row"], bad["reason"]) for bad in listed] == [
        ("metadata.jsonl:1", "latent not finite"),
        ("metadata.jsonl:2", "latent not finite"),
    ]
    assert ddecli(*arguments[:-1], "float32", "--overwrite").code == 0


def test_prepare_names_missing_columns(ddecli: Run, sd_folder: Path) -> None:
    write_folder(Path("data"), [{"prompt": "a", "image": "0.png"}], 1)
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data")
    assert_one_sentence(typed, "metadata.jsonl has columns prompt, image", "--columns")


def test_sample_takes_long_and_foreign_prompts(ddecli: Run, sd_folder: Path) -> None:
    prompts = ["word " * 2000, "赤い丸", "🙂", "дом", "a dog", "a dog", " "]
    Path("prompts.txt").write_text("\n".join(prompts), encoding="utf-8")
    typed = ddecli(
        "sample", sd_folder, "--prompts", "prompts.txt", "--images-per-prompt", 1, "--steps", 1, "--json"
    )
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert summary["complete"]
    assert (summary["images"], summary["duplicate_prompts"], summary["empty_prompts"]) == (5, 1, 1)
    assert summary["truncated_prompts"] == 1
    assert "1 of 5 prompts are longer than the text encoder reads" in typed.error
