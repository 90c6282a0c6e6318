"""Alarms as they are seen: a training that breaks the model, and one that changes next to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddecli.tinyworld.pairs import png
from ddecli.tinyworld.scenes import caption, random_scene

if TYPE_CHECKING:
    from conftest import Typed


@pytest.fixture
def one_picture(ddecli: Callable[..., Typed]) -> Path:
    """A store of one picture under many captions: whoever learns it draws it whatever the prompt says."""
    rng = np.random.default_rng(0)
    scenes = [random_scene(rng) for _ in range(16)]
    Path("same").mkdir()
    for number, scene in enumerate(scenes):
        (Path("same") / f"{number}.png").write_bytes(png(scenes[0]))
        (Path("same") / f"{number}.txt").write_text(caption(scene.description, rng))
    typed = ddecli("prepare", "--model", "tiny", "--data", "same", "--winners-only", "--out", "pairs")
    assert typed.code == 0, typed.error
    return Path("pairs")


def test_a_training_that_breaks_the_model(ddecli: Callable[..., Typed], one_picture: Path) -> None:
    """Once at a rate ten times too high, and once at one that is too low to learn anything."""
    train = ("train", "--model", "tiny", "--loss", "sft", "--data", one_picture, "--steps", 24, "--batch-size", 8,
             "--sample-every", 24, "--sample-metric", "clip", "--sample-metric", "pickscore")  # fmt: skip
    typed = ddecli(*train, "--lr", 1e-3, "--out", "bad", "--report-to", "tensorboard")
    assert typed.code == 0, typed.error
    assert typed.error.count("ALARM (scores) after step") == 1
    said = "the pictures score lower than the base's (clip, pickscore). Look at bad/samples; "
    assert said in typed.error
    assert typed.error.count("ain again with a lower --lr") == 1 and "beta" not in typed.error
    (alarm,) = json.loads(Path("bad/alarms.json").read_text())
    assert alarm["name"] == "scores" and f"scores after step {alarm['step']}: see alarms.json" in typed.out
    assert "- after step" in Path("bad/model/README.md").read_text()
    events = EventAccumulator("bad/tensorboard").Reload()
    assert [each.step for each in events.Scalars("alarms/scores")] == [alarm["step"] - 1]
    (text,) = events.Tensors("alarm scores/text_summary")
    assert text.tensor_proto.string_val[0].decode().startswith(alarm["said"])
    again = ddecli(*train, "--lr", 1e-3, "--out", "bad", "--report-to", "tensorboard", "--resume")
    assert again.code == 0 and "ALARM" not in again.error

    typed = ddecli(*train, "--lr", 1e-7, "--out", "good", "--json")
    assert typed.code == 0, typed.error
    assert "ALARM" not in typed.error and json.loads(typed.out)["alarms"] == []
    assert not Path("good/alarms.json").exists() and "Alarms" not in Path("good/model/README.md").read_text()
