"""`ddecli train --reference-only`: errors that the run would compute, to the last bit, and that it then only reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence, contents

from ddecli.models.base import DiffusionModel
from ddecli.training import reference_pass

Run = Callable[..., Any]
UNET = "model/unet/diffusion_pytorch_model.safetensors"
LORA = "model/pytorch_lora_weights.safetensors"


@pytest.fixture
def typed(ddecli: Run, sd_folder: Path, sd_store: Path, tmp_path: Path) -> Run:
    """`ddecli train` of a few steps on a store of the test's own; options may be added."""
    store = tmp_path / "pairs"
    store.mkdir()
    for file in sd_store.iterdir():
        (store / file.name).symlink_to(file)

    def run(*words: object) -> Any:
        return ddecli(
            "train", "--model", sd_folder, "--data", store, "--steps", 4, "--batch-size", 6, "--micro-batch-size", 4,
            "--lr", 1e-3, "--beta", 50, "--device", "cpu", "--json", *words,
        )  # fmt: skip

    return run


def draws(run: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(Path(run, "perf.json").read_text())["reference_draws"]
    return found


@pytest.mark.two_threads
@pytest.mark.parametrize(("words", "weights"), [((), UNET), (("--lora", 2), LORA)], ids=["full", "lora"])
def test_the_run_reads_what_it_would_have_computed(
    typed: Run, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...], weights: str
) -> None:
    assert typed("--out", "alone", "--reference", "compute", *words).code == 0
    with monkeypatch.context() as patch:
        if not words:  # full training copies the model for a reference; the pass does not

            def copied(self: DiffusionModel, dtype: Any) -> DiffusionModel:
                raise AssertionError("a second model")

            patch.setattr(DiffusionModel, "reference", copied)
        done = typed("--reference-only", *words)
    assert done.code == 0, done.error
    said = json.loads(done.out)
    assert (said["draws"], said["read"], said["computed"]) == (24, 0, 24)
    assert not Path("runs").exists()
    assert typed("--out", "after", *words).code == 0
    assert draws("after") == {"read": 24, "computed": 0}
    assert Path("after", weights).read_bytes() == Path("alone", weights).read_bytes()
    again = json.loads(typed("--reference-only", *words).out)
    assert (again["read"], again["computed"]) == (24, 0)


def test_shares_make_the_whole(typed: Run) -> None:
    shares = [json.loads(typed("--reference-only", "--shard", f"{i}/3").out) for i in (3, 1, 2)]
    assert [share["computed"] for share in shares] == [6, 12, 6]
    assert typed("--out", "run").code == 0
    assert draws("run") == {"read": 24, "computed": 0}


def test_a_stopped_pass_goes_on(typed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    errors, asked = reference_pass.errors_by_row, []

    def stopping(*given: Any) -> Any:
        asked.append(1)
        if len(asked) == 6:  # in the third of four steps, of two micro-batches each
            raise KeyboardInterrupt
        return errors(*given)

    monkeypatch.setattr(reference_pass, "STEPS_A_FILE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(reference_pass, "errors_by_row", stopping)
        assert typed("--reference-only").code == 130
    said = json.loads(typed("--reference-only").out)
    assert (said["read"], said["computed"]) == (12, 12)


def test_what_it_cannot_do_is_refused(typed: Run, tmp_path: Path) -> None:
    before = contents(tmp_path)
    assert_one_sentence(typed("--reference-only", "--loss", "sft"), "sft asks for no errors of a reference")
    assert_one_sentence(typed("--reference-only", "--reference", "compute"), "goes with --reference keep")
    assert_one_sentence(typed("--reference-only", "--reference", "read"), "goes with --reference keep")
    assert_one_sentence(typed("--reference-only", "--loss", "spin"), "pairs that are there before training")
    assert_one_sentence(typed("--shard", "1/2"), "--shard 1/2 goes with --reference-only")
    assert_one_sentence(typed("--reference-only", "--shard", "3/2"), "must be I/N")
    assert contents(tmp_path) == before
