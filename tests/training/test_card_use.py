"""The "Use" block of a card, run as it stands in the model's folder: it draws what `sample` draws of the run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kohya import kohya_names
from safetensors.torch import load_file, save_file

from ddecli.data.prepare import prepare
from ddecli.models.load import load_for_sampling, load_model
from ddecli.tinyworld.pairs import world_pairs
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings

Make = Callable[..., TrainSettings]


def run_block(run: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the block; the pipeline that it made."""
    folder = Path(run, "model").resolve()
    (block,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    drawing = [line for line in block.splitlines() if line.startswith("pipeline(")]
    assert len(drawing) == 1
    short = block.replace('").images', '", num_inference_steps=1, height=32, width=32).images')
    assert short != block
    found: dict[str, Any] = {}
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        exec(short, found)
    assert (folder / "image.png").is_file()
    (folder / "image.png").unlink()
    return found["pipeline"]


def draw(pipeline: Any) -> np.ndarray:
    """A picture, (32, 32, 3) in [0, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        "a red circle", num_inference_steps=2, height=32, width=32, output_type="np",
        generator=torch.Generator().manual_seed(0),
    ).images[0]  # fmt: skip


def assert_draws_alike(run: str, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    found = draw(run_block(run, monkeypatch))
    np.testing.assert_allclose(found, draw(load_for_sampling(run).pipeline), atol=1e-5)
    return found


def test_of_the_whole_model_and_of_loras_on_each_other(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {
        "whole": {"lr": 1e-3},
        "on-whole": {"model": "whole", "lora": 2},
        "first": {"lora": 2},
        "second": {"model": "first", "lora": 2, "seed": 1},
        "third": {"model": "second", "lora": 2, "lora_format": "kohya"},
    }
    monkeypatch.chdir(tmp_path)
    drawn = []
    for name, own in runs.items():
        run = settings(**({"out": name, "steps": 2, "lr": 0.02, "warmup": 0} | own))
        train(run)
        drawn.append(assert_draws_alike(run.out, monkeypatch))
    assert all(np.abs(one - two).max() > 1e-3 for one, two in itertools.pairwise(drawn))
    assert sorted(file.name for file in (tmp_path / "third/model/below").iterdir()) == [
        "1.safetensors",
        "2.safetensors",
    ]


def test_of_a_lora_on_a_lora_of_somebody_else(
    settings: Make, sd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = settings(out=str(tmp_path / "first"), lora=2, steps=2, lr=0.02, warmup=0)
    train(first)
    ours = load_file(tmp_path / "first" / "model" / "pytorch_lora_weights.safetensors")
    save_file(kohya_names(ours), tmp_path / "style.safetensors")
    name = f"{sd_folder}+{tmp_path / 'style.safetensors'}"
    second = settings(out=str(tmp_path / "second"), model=name, lora=2, steps=2, lr=0.02, warmup=0)
    train(second)
    assert_draws_alike(second.out, monkeypatch)
    text = (tmp_path / "second/model/README.md").read_text()
    assert "with LoRA weights on it" in text and "`ddecli merge` makes one" in text


def test_of_a_model_that_comes_with_the_program(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(world_pairs(10), load_model("tiny"), tmp_path / "pairs", source="world")
    run = settings(model="tiny", data=str(tmp_path / "pairs"), out=str(tmp_path / "tiny"), lora=2, steps=1)
    train(run)
    assert_draws_alike(run.out, monkeypatch)
