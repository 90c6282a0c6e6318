"""The code that README and the model card show for using a trained model, run as it is written."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from PIL import Image
from stored_models import half_precision

from ddecli.cli.app import main
from ddecli.data.prepare import prepare
from ddecli.models.load import load_model
from ddecli.tinyworld.pairs import world_pairs

README = Path(__file__).parents[2] / "README.md"
SHORT = ("--steps", "1", "--batch-size", "2", "--device", "cpu")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def train(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["ddecli", "train", *options, *SHORT])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code


def python_of(page: Path) -> str:
    """The only Python code of a page."""
    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return code


def test_the_code_in_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(world_pairs(4), load_model("tiny"), Path("pairs"), source="world")
    train(monkeypatch, "--model", "tiny", "--loss", "dde", "--data", "pairs")
    exec(python_of(README), {})
    assert Image.open("circle.png").size == (32, 32)


@pytest.mark.parametrize("family", ["sd", "sdxl"])
@pytest.mark.parametrize("options", [(), ("--lora", "2")])
def test_the_code_on_the_card_of_a_model_whose_base_is_in_half_precision(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, family: str, options: tuple[str, ...]
) -> None:
    base = half_precision(request.getfixturevalue(f"{family}_folder"), Path("base"))
    prepare(world_pairs(4), load_model(str(base)), Path("pairs"), source="world")
    train(monkeypatch, "--model", "base", "--loss", "uniform", "--data", "pairs", "--out", "run", *options)
    monkeypatch.chdir("run/model")
    Path("base").symlink_to("../../base")
    made: dict[str, object] = {}
    exec(python_of(Path("README.md")), made)
    pipeline = made["pipeline"]
    assert pipeline("a red circle", num_inference_steps=2).images[0].size == (32, 32)  # type: ignore[operator]
