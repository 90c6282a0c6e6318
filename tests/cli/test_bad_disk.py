"""Damaged stores and checkpoints, full disks, places that cannot be read or written: said in one sentence."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence, contents
from full_disk import full_disk
from pair_data import write_folder
from PIL import Image

Run = Callable[..., Any]
PAIR: dict[str, object] = {"prompt": "a", "chosen": "0.png", "rejected": "1.png"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def edit(**changed: Any) -> Callable[[Path], None]:
    """Change entries of a store's manifest; a dictionary changes entries of the one that is there."""

    def damage(store: Path) -> None:
        manifest = json.loads((store / "manifest.json").read_text())
        for key, value in changed.items():
            manifest[key] = manifest[key] | value if isinstance(value, dict) else value
        del manifest["content_sha256"]  # as earlier versions wrote it: what it says is looked at
        (store / "manifest.json").write_text(json.dumps(manifest))

    return damage


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda store: cut(store / "latents-00000.safetensors"), "latents-00000.safetensors has"),
    (lambda store: (store / "images.parquet").unlink(), "images.parquet is missing"),
    (lambda store: (store / "manifest.json").unlink(), "is no pair store"),
    (lambda store: cut(store / "manifest.json"), "cannot be read as JSON"),
    (edit(format=7), "of format 7"),
    (edit(model={"fingerprint": "0123456789abcdef"}), "was prepared for another model"),
    (edit(files=[]), "manifest.json is damaged"),
    (edit(counts={"images": 3}), "manifest.json counts"),
    (edit(shard_rows={"latents": [5]}), "its shards do not"),
    (edit(shard_rows={"latents": "x"}), "manifest.json is damaged"),
]


def test_train_names_what_is_wrong_with_a_store(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    for number, (damage, sentence) in enumerate(DAMAGES):
        store = Path(shutil.copytree(sd_store, f"store-{number}"))
        damage(store)
        before = contents(store)
        typed = ddecli("train", "--model", sd_folder, "--data", store, "--out", "run", "--device", "cpu")
        assert_one_sentence(typed, sentence, store.name)
        assert contents(store) == before
        assert not contents("run")


@pytest.fixture
def train(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """Train the small model for so many steps, with a checkpoint each."""
    arguments = ("--model", sd_folder, "--data", sd_store, "--out", "run", "--device", "cpu")
    arguments += ("--batch-size", 2, "--checkpoint-every", 1, "--resume")
    return lambda steps: ddecli("train", *arguments, "--steps", steps)


def test_train_resumes_before_a_checkpoint_cut_short(train: Run) -> None:
    assert train(3).code == 0
    whole = contents("run")
    shutil.rmtree("run")
    assert train(2).code == 0
    newer = Path("run/checkpoints/step-000003")
    shutil.copytree("run/checkpoints/step-000002", newer)
    cut(newer / "optimizer.pt")
    typed = train(3)
    assert typed.code == 0, typed.error
    assert "step-000003 is damaged and is passed over" in " ".join(typed.error.split())
    again = contents("run")
    same = [name for name in whole if name.endswith(".safetensors")]
    assert all(again[name] == whole[name] for name in same)  # it went on from the one before

    for checkpoint in Path("run/checkpoints").iterdir():
        cut(checkpoint / "trainable.safetensors")
    assert_one_sentence(train(4), "Every checkpoint in run/checkpoints is damaged")
    assert {name: contents("run")[name] for name in again if name.startswith("model")} == {
        name: content for name, content in again.items() if name.startswith("model")
    }


def performance(run: dict[str, bytes]) -> dict[str, Any]:
    """What the steps of a run took, and on what."""
    digests = ("files", "content_sha256")
    return {key: value for key, value in json.loads(run["perf.json"]).items() if key not in digests}


def test_train_on_a_full_disk_keeps_what_was_whole(train: Run) -> None:
    assert train(1).code == 0
    before = contents("run")
    with full_disk(20_000):
        assert_one_sentence(train(3), "Cannot write run/checkpoints/step-000002", "File too large")
    after = contents("run")
    changing = ("run.yaml", "metrics.jsonl", "perf.json")
    assert performance(before) == performance(after)  # but for the digests of what goes on
    assert {name for name in before | after if before.get(name) != after.get(name)} <= set(changing)
    assert train(3).code == 0


def test_prepare_on_a_full_disk_keeps_the_store(ddecli: Run, sd_folder: Path) -> None:
    arguments = ("prepare", "--model", sd_folder, "--data", "world", "--out", "store", "--overwrite")
    assert ddecli(*arguments, "--limit", 4).code == 0
    before = contents("store")
    with full_disk(2_000):
        assert_one_sentence(ddecli(*arguments, "--limit", 5), "Cannot write store", "File too large")
    assert contents("store") == before


def test_sample_on_a_full_disk_goes_on_later(
    ddecli: Run, sd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("sample", sd_folder, "--prompt", "a", "--images-per-prompt", 3, "--steps", 1, "--out", "out")
    save, saved = Image.Image.save, []

    def save_two(image: Image.Image, path: Path, **options: Any) -> None:
        if len(saved) == 2:
            path.write_bytes(b"half an image")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved.append(path)
        save(image, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", save_two)
        assert_one_sentence(ddecli(*arguments), "Cannot write out/", "No space left on device")
    kept = contents("out")
    assert sum(name.endswith(".png") for name in kept) == 2
    assert not any(name.endswith(".tmp") for name in kept)
    typed = ddecli(*arguments)
    assert "1 images made, 2 kept" in typed.out and "complete" in typed.out
    assert kept.items() <= contents("out").items()


WRITERS = {
    "prepare": ("--model", "{model}", "--data", "world", "--limit", "2", "--out"),
    "train": ("--model", "{model}", "--data", "{store}", "--device", "cpu", "--out"),
    "sample": ("{model}", "--prompt", "a", "--steps", "1", "--images-per-prompt", "1", "--out"),
    "score": ("pictures", "--prompt", "a", "--metric", "clip", "--family", "tiny", "--out"),
    "world": ("show", "--out"),
}


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest, sd_folder: Path, sd_store: Path) -> list[str]:
    """A command that writes, up to its `--out`."""
    write_folder(Path("pictures"), [PAIR], 2)
    options = WRITERS[request.param]
    return [request.param, *(option.format(model=sd_folder, store=sd_store) for option in options)]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no folder here that nobody can write to")
def test_a_place_nobody_can_write_to(ddecli: Run, writer: list[str]) -> None:
    assert_one_sentence(ddecli(*writer, "/proc/out"), "Cannot write", "/proc/out")


@pytest.fixture
def locked() -> Iterator[Path]:
    """A folder of pairs whose permissions a test may take away."""
    folder = write_folder(Path("locked"), [PAIR], 2)
    folder.chmod(0o500)
    if os.access(folder, os.W_OK):
        folder.chmod(0o700)
        pytest.skip("root may read and write everything")
    yield folder
    folder.chmod(0o700)


def test_a_folder_that_may_not_be_written_to(ddecli: Run, writer: list[str], locked: Path) -> None:
    before = contents(locked)
    assert_one_sentence(ddecli(*writer, "locked/out"), "Cannot write", "locked/out", "Permission denied")
    assert contents(locked) == before


@pytest.mark.parametrize("mode", [0o000, 0o200])
def test_a_folder_that_may_not_be_read(ddecli: Run, sd_folder: Path, locked: Path, mode: int) -> None:
    locked.chmod(mode)
    typed = ddecli("prepare", "--model", sd_folder, "--data", locked, "--out", "store")
    assert_one_sentence(typed, "locked", "Permission denied")
    assert not Path("store").exists()


@pytest.mark.parametrize("command", ["prepare", "train", "sample", "score", "inception"])
def test_a_batch_of_none(ddecli: Run, command: str) -> None:
    sources = {"sample": ["tiny"], "score": ["x"], "inception": ["x"]}.get(command, [])
    assert_one_sentence(ddecli(command, *sources, "--batch-size", 0), "--batch-size", "equal to 1")
