"""Files that were damaged after they were written: every command says which, and how to go on, in one sentence."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from cli_checks import assert_one_sentence, contents

from ddecli.core.errors import UserError
from ddecli.reporting.runs import load_credit

if TYPE_CHECKING:
    from conftest import Typed

Run = Callable[..., "Typed"]


@pytest.fixture
def train(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """Train in `run`, with a checkpoint a step."""
    options = (
        "--model",
        sd_folder,
        "--data",
        sd_store,
        "--batch-size",
        4,
        "--checkpoint-every",
        1,
        "--out",
        "run",
    )
    return lambda *more: ddecli("train", *options, "--device", "cpu", *more)


def figure(name: str) -> tuple[object, ...]:
    return ("figure", name, "A=run", "--out", "f")


def flip(file: Path, part: float = 0.5) -> Callable[[], int]:
    """Flip a bit; returns what puts it back."""
    good = file.read_bytes()
    damaged = bytearray(good)
    damaged[int(len(good) * part)] ^= 1
    file.write_bytes(damaged)
    return lambda: file.write_bytes(good)


def test_a_finished_run_notes_its_files_and_readers_compare_them(ddecli: Run, train: Run) -> None:
    assert train("--steps", 2).code == 0
    sample = ("sample", "run", "--prompt", "a cat", "--steps", 1, "--images-per-prompt", 1, "--out", "images")
    readers = {
        "metrics.jsonl": [figure("curves")],
        "credit.npz": [figure("credit")],
        "model/unet/diffusion_pytorch_model.safetensors": [sample],
        "model/text_encoder/config.json": [sample],
        "model/scheduler/scheduler_config.json": [sample],
        "perf.json": [figure("credit"), sample],
    }
    for name, commands in readers.items():
        put_back = flip(Path("run", name))
        for command in commands:
            typed = ddecli(*command)
            assert_one_sentence(typed, f"run/{name}", "train the run again")
        put_back()
    assert not Path("f.json").exists() and not Path("images/metadata.jsonl").exists()
    Path("run/model/README.md").write_text("My own words.")
    for command in (command for commands in readers.values() for command in commands):
        assert ddecli(*command).code == 0
    read = json.loads(Path("f.json").read_text())["read"]
    assert set(read) == {"run/credit.npz", "run/perf.json"}

    flip(Path("run/metrics.jsonl"))
    Path("run/perf.json").unlink()  # as a run of an earlier version, or one changed on purpose
    assert ddecli(*sample).code == 0


def test_a_run_that_goes_on_is_not_taken_for_a_damaged_one(
    ddecli: Run, train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--steps", 2).code == 0

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ddecli.training.loop._finish", stop)
        assert train("--steps", 3, "--resume").code == 130
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 3
    assert ddecli(*figure("curves")).code == 0
    assert train("--steps", 3, "--resume").code == 0
    assert "metrics.jsonl" in json.loads(Path("run/perf.json").read_text())["files"]
    assert ddecli(*figure("curves")).code == 0


@pytest.mark.parametrize(
    "line", [b"{broken", b"\xff\xfe", b"", b"[" * 5000, b'{"step": "one"}', b'{"step": 1e999}']
)
def test_a_damaged_line_of_the_log_does_not_stop_a_run(train: Run, line: bytes) -> None:
    assert train("--steps", 3).code == 0
    lines = Path("run/metrics.jsonl").read_bytes().splitlines()
    Path("run/metrics.jsonl").write_bytes(b"\n".join([lines[0], line, lines[2]]) + b"\n")
    typed = train("--steps", 4, "--resume")
    assert typed.code == 0 and "1 damaged lines of run/metrics.jsonl are left out" in typed.error
    steps = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 3]
    before = contents("run")
    assert "run is finished" in train("--steps", 4, "--resume").error
    assert contents("run") == before


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"files": []}', b'{"files": {}}', b"[" * 100_000, b"\xff"]
)
def test_a_checkpoint_whose_state_is_damaged_is_passed_over(train: Run, content: bytes) -> None:
    assert train("--steps", 2).code == 0
    shutil.copytree("run/checkpoints/step-000002", "run/checkpoints/step-000001")
    Path("run/checkpoints/step-000002/state.json").write_bytes(content)
    typed = train("--steps", 3, "--resume")
    assert typed.code == 0 and "step-000002 is damaged and is passed over" in typed.error


def npz(file: Path, **arrays: np.ndarray) -> None:
    with np.load(file) as found:
        arrays = dict(found) | arrays
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-30]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"PK\x03\x04" + b"\0" * 100),
        lambda file: npz(file, count=np.zeros((2, 50))),
        lambda file: npz(file, count=np.ones((2, 49))),
        lambda file: npz(file, count=np.ones(2)),
        lambda file: npz(file, count=np.array(["a"] * 100).reshape(2, 50)),
        lambda file: npz(file, gradient_weight_sum=np.full((2, 50), np.nan)),
        lambda file: npz(file, corrections=np.zeros((1, 50))),
        lambda file: npz(file, bin_edges=np.zeros(51)),
        lambda file: npz(file, bin_edges=np.array({"a": 1}, dtype=object)),
    ],
)
def test_a_credit_map_without_a_digest(ddecli: Run, train: Run, damage: Callable[[Path], object]) -> None:
    assert train("--steps", 2).code == 0
    Path("run/perf.json").unlink()
    damage(Path("run/credit.npz"))
    typed = ddecli(*figure("credit"))
    assert_one_sentence(typed, "run/credit.npz is no credit map (", "): train the run again")


def test_flips_in_a_credit_map_without_a_digest_end_in_a_sentence(train: Run) -> None:
    assert train("--steps", 2).code == 0
    Path("run/perf.json").unlink()
    for place in np.linspace(0, 0.999, 500):
        put_back = flip(Path("run/credit.npz"), place)
        with contextlib.suppress(UserError):
            load_credit("run")
        put_back()


def test_settings_that_are_there_twice_or_octal(ddecli: Run) -> None:
    Path("a.yaml").write_text("beta: 10\nsteps: 5\nbeta: 20\n")
    assert_one_sentence(
        ddecli("train", "--config", "a.yaml", "--dry-run"), "a.yaml", "line 3, beta is there twice"
    )
    Path("b.yaml").write_text("steps: 010\n")
    assert_one_sentence(
        ddecli("train", "--config", "b.yaml", "--dry-run"), "b.yaml", "line 1, 010 is a number to"
    )
    Path("c.yaml").write_text("steps: 10\n")
    typed = ddecli("train", "--config", "c.yaml", "--dry-run")
    assert yaml.safe_load(typed.out)["steps"] == 10
