"""What version 0.1.0 wrote still loads, goes on and counts: a pair store, a run with its checkpoint, scored images.

`earlier-version/` was made by that version with

    ddecli prepare --model tiny --out store --limit 24
    ddecli train --model tiny --loss dde --lora 2 --data store --out run --steps 4 --batch-size 4 --lr 3e-3 --warmup 0 \
        --checkpoint-every 2 --config bins.yaml --seed 3                                  # correction_bins: 20
    ddecli sample run --prompts world:test --num-prompts 3 --images-per-prompt 2 --out images
    ddecli score images --metric truth --metric pickscore

and `continued.jsonl` are the lines of metrics.jsonl that it added with `--steps 6 --resume`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from diffusers import StableDiffusionPipeline

from ddecli.stats.runs import load_credit

if TYPE_CHECKING:
    from conftest import Typed

EARLIER = Path(__file__).parent / "earlier-version"
OF_MACHINE = ("pairs_per_second", "memory_mb")


@pytest.fixture(autouse=True)
def earlier(in_a_folder_of_its_own: None, tmp_path: Path) -> None:
    shutil.copytree(EARLIER, tmp_path, dirs_exist_ok=True)


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_a_checkpoint_goes_on_as_it_would_have(ddecli: Callable[..., Typed]) -> None:
    before, expected = Path("run/metrics.jsonl").read_text(), lines("continued.jsonl")
    typed = ddecli("train", "--config", "run/run.yaml", "--steps", 6, "--resume")
    assert typed.code == 0, typed.error
    assert Path("run/metrics.jsonl").read_text().startswith(before)
    found = lines("run/metrics.jsonl")[4:]
    assert [line["step"] for line in found] == [4, 5]
    for line, wanted in zip(found, expected, strict=True):
        assert line.keys() == wanted.keys()
        for name in line.keys() - set(OF_MACHINE):
            assert line[name] == pytest.approx(wanted[name], rel=1e-3, abs=1e-6), name
    credit = load_credit("run")  # of the first steps too, which are in the checkpoint
    assert credit.size == 6 and (credit.count.sum(axis=1) == 4).all() and credit.weight_sum[0].any()


def test_a_finished_run_is_known_to_be_finished(ddecli: Callable[..., Typed]) -> None:
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    typed = ddecli("train", "--config", "run/run.yaml", "--resume")
    assert typed.code == 0 and "is finished" in typed.error + typed.out
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


def test_its_images_are_kept_and_its_scores_are_not_computed_again(ddecli: Callable[..., Typed]) -> None:
    before = Path("images/scores.parquet").read_bytes()
    sampled = ddecli(
        "sample", "run", "--prompts", "world:test", "--num-prompts", 3, "--images-per-prompt", 2,
        "--out", "images",
    )  # fmt: skip
    assert sampled.code == 0 and "0 images made, 6 kept" in sampled.out + sampled.error
    scored = ddecli("score", "images", "--metric", "truth", "--metric", "pickscore")
    assert scored.code == 0 and scored.error.count("kept, images was scored with the same model") == 2, (
        scored.error
    )
    assert Path("images/scores.parquet").read_bytes() == before
    table = ddecli("table", "Earlier=images", "--out", "table")
    assert table.code == 0, table.error


def test_stock_diffusers_loads_its_adapters_onto_the_base(tiny_base: StableDiffusionPipeline) -> None:
    tiny_base.load_lora_weights("run/model")
    assert tiny_base.get_active_adapters()


@pytest.fixture
def tiny_base() -> StableDiffusionPipeline:
    from ddecli.models.load import load_for_sampling

    return load_for_sampling("tiny").pipeline
