"""`ddecli card`: a gallery and scores in a finished run's model card, as the hub's own client reads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_models
from cli_checks import assert_one_sentence, contents
from huggingface_hub import ModelCard

from ddecli.core.scores import load_scores
from ddecli.stats.compare import compare, summarize

Run = Callable[..., Any]
PROMPTS = ("a red circle", "a <b>blue</b> star | [x](y)", "green")
CARD = Path("run/model/README.md")


@pytest.fixture
def images(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """A finished run, its sample and its base's; called, both are scored."""
    given = ("--model", sd_folder, "--data", sd_store, "--out", "run", "--device", "cpu")
    assert ddecli("train", *given, "--batch-size", 2, "--steps", 2, "--lr", 1e-3).code == 0
    prompts = [part for prompt in PROMPTS for part in ("--prompt", prompt)]
    for model, out in (("run", "of-run"), (sd_folder, "of-base")):
        typed = ddecli("sample", model, *prompts, "--steps", 1, "--images-per-prompt", 2, "--out", out)
        assert typed.code == 0, typed.error

    def score() -> None:
        clip = tiny_models.save_clip(Path("clip"))
        scorers = [
            part
            for metric in ("clip", "hps")
            for part in ("--scorer", f"{metric}={clip}", "--metric", metric)
        ]
        for folder in ("of-run", "of-base"):
            assert ddecli("score", folder, *scorers).code == 0

    return score


def read() -> ModelCard:
    return ModelCard(CARD.read_text())


def test_a_gallery(ddecli: Run, images: Run) -> None:
    CARD.write_text(
        CARD.read_text().replace("## Use", "Mine.\n\n## Use").replace("tags:", "thumbnail: x.png\ntags:")
    )
    before = read()
    typed = ddecli("card", "run", "of-run")
    assert typed.code == 0, typed.error
    assert "run/model/README.md: 3 pictures, no scores." in typed.out
    found = read()
    shown = found.data.to_dict()["widget"]
    assert [entry["text"] for entry in shown] == list(PROMPTS)
    for entry in shown:
        place = Path("run/model", entry["output"]["url"])
        assert place.read_bytes() == Path("of-run", place.name).read_bytes() and place.name.endswith(
            "-00.png"
        )
    assert found.text.count("<Gallery />") == 1 and found.text.index("## Samples") < found.text.index(
        "## Training"
    )
    assert "seed 0." in found.text and "Mine." in found.text and "## Scores" not in found.text
    assert before.data.to_dict().items() <= found.data.to_dict().items()
    again = contents("run")
    assert ddecli("card", "run", "of-run").code == 0
    assert contents("run") == again
    assert (
        ddecli("sample", "run", "--prompt", "a", "--steps", 1, "--images-per-prompt", 1).code == 0
    )  # not another


def test_scores_with_intervals(ddecli: Run, images: Run) -> None:
    images()
    typed = ddecli("card", "run", "of-run", "--against", "of-base", "--json")
    assert json.loads(typed.out)["metrics"] == ["clip", "diversity", "hps"], typed.error
    found = read()
    ours, base = load_scores("of-run"), load_scores("of-base")
    expected = {each.metric: each for each in summarize(ours)}
    compared = {each.metric: each for each in compare(ours, base)}
    results = {each.metric_type: each for each in found.data.eval_results or []}
    assert results.keys() == expected.keys() and found.data.model_name == "run"
    for metric, result in results.items():
        args = result.metric_args or {}
        assert result.metric_value == pytest.approx(expected[metric].mean)
        assert args["confidence_interval_95"] == pytest.approx(list(expected[metric].interval or ()))
        assert args["difference"] == pytest.approx(compared[metric].difference)
        assert args["difference_confidence_interval_95"] == pytest.approx(
            list(compared[metric].difference_interval or ())
        )
        assert args["prompts"] == 3 and args["against"] == base_name()
    row = next(line for line in found.text.splitlines() if line.startswith("| HPS"))
    assert f"{expected['hps'].mean:.4g} (" in row and row.count("..") == 3
    assert f"against {base_name()} on the same prompts and noise" in found.text
    assert ddecli("card", "run", "of-run").code == 0  # without the base
    assert "beat ratio" not in read().text and read().text.count("## Scores") == 1
    for file in Path("of-run").glob("scores*"):
        file.unlink()
    assert ddecli("card", "run", "of-run").code == 0
    assert "## Scores" not in read().text and not read().data.eval_results


def base_name() -> str:
    return "random-sd"


def test_what_is_refused(ddecli: Run, images: Run, sd_folder: Path) -> None:
    before = contents("run")

    def refused(*words: object, says: str) -> None:
        assert_one_sentence(ddecli("card", *words), says)
        assert contents("run") == before

    refused("nowhere", "of-run", says="nowhere is no finished run")
    refused("run", "nowhere", says="nowhere is no folder of ddecli sample")
    refused("run", "of-base", says="of-base holds images of")
    refused("run", "of-run", "--against", "of-base", says="does not exist: score the images first")
    refused("run", "of-run", "--push-to-hub", "me", says="must be OWNER/NAME")
    images()
    for file in Path("of-run").glob("*-00.png"):
        file.write_bytes(next(Path("of-run").glob("*-01.png")).read_bytes())
    refused("run", "of-run", says="other images than those that were scored")
    CARD.write_text("---\n[\n---\n")
    before = contents("run")
    for file in Path("of-run").glob("scores*"):
        file.unlink()
    refused("run", "of-run", says="cannot be read as a model card")
    CARD.unlink()
    before = contents("run")
    refused("run", "of-run", says="README.md does not exist")
