"""Alarms ring once, are kept with the run, and stop nothing; the winners' error by closed forms."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddecli.core.console import console
from ddecli.core.errors import UserError
from ddecli.training.alarms import WINDOW, Alarms, WinnerErrors
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]


def noted(run: TrainSettings) -> list[tuple[str, int]]:
    file = run.folder / "alarms.json"
    return [(each["name"], each["step"]) for each in json.loads(file.read_text())] if file.exists() else []


def test_an_alarm_rings_once(settings: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = settings()
    alarms = Alarms(run)
    alarms.ring("diversity", 2, "images are alike", good=1, look_at=Path("sheets"))
    alarms.ring("diversity", 3, "images are alike")
    alarms.ring("scores", 4, "scores fall")
    assert capsys.readouterr().err.splitlines() == [
        "ALARM (diversity) after step 2: images are alike. Look at sheets; Ctrl-C stops training with a checkpoint; "
        "train again with a lower --lr, --steps 1 (no alarm until then) or a larger --beta.",
        "ALARM (scores) after step 4: scores fall. Train again with a lower --lr, fewer --steps or a larger --beta.",
    ]
    assert noted(run) == [("diversity", 2), ("scores", 4)]


def test_a_run_that_goes_on_remembers_what_rang(settings: Make, capsys: pytest.CaptureFixture[str]) -> None:
    """But not what rang in steps that are made again."""
    run = settings()
    first = Alarms(run)
    first.ring("diversity", 2, "images are alike")
    first.ring("scores", 3, "scores fall")
    capsys.readouterr()
    again = Alarms(run, first_step=2)
    assert noted(run) == [("diversity", 2)] and again.rung == first.rung[:1]
    again.ring("diversity", 3, "images are alike")
    again.ring("scores", 3, "scores fall")
    assert capsys.readouterr().err.count("ALARM") == 1
    assert Alarms(run, first_step=9).rung == first.rung
    assert Alarms(run).rung == [] == noted(run)


@pytest.mark.parametrize("content", ["{", "[1]", '[{"name": "scores", "step": "two"}]', '[{"step": 1}]'])
def test_a_damaged_file_is_one_sentence(settings: Make, content: str) -> None:
    run = settings()
    run.folder.mkdir()
    (run.folder / "alarms.json").write_text(content)
    with pytest.raises(UserError, match=r"alarms\.json .*; remove it\.$"):
        Alarms(run, first_step=2)


def test_it_is_broken_between_words_on_a_terminal(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(console, "_width", 80)
    Alarms(settings()).ring("held-out", 2, "held-out pairs are not told apart any better than by the base")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2 and all(len(line) < 100 for line in lines)
    assert any(line.rstrip().endswith("told apart") or "apart any" in line for line in lines)


def test_a_disk_that_is_full_loses_no_training(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = settings()
    alarms = Alarms(run)
    run.folder.mkdir(exist_ok=True)
    (run.folder / "alarms.json").mkdir()  # in the place of the file
    alarms.ring("scores", 3, "scores fall")
    said = capsys.readouterr().err
    assert "ALARM (scores)" in said and "Training goes on; its alarms are said here alone." in said


def test_winner_errors() -> None:
    """Half way to where training stops, counted in factors; or at twice."""

    def after(ratios: list[float], stop: float = 4.0, reference: float = 0.2) -> float | None:
        errors = WinnerErrors(stop)
        for ratio in ratios:
            found = errors.add(ratio * reference, reference)
        return found

    assert after([2.01] * WINDOW) == pytest.approx(2.01)
    assert after([1.99] * WINDOW) is None
    assert after([9.0] * (WINDOW - 1)) is None
    assert after([1.0] * 50 + [2.5] * WINDOW) == pytest.approx(2.5)
    assert after([1.3] * WINDOW, stop=1.5) == pytest.approx(1.3)
    assert after([2.1] * WINDOW, stop=math.inf) == pytest.approx(2.1)
    assert after([2.1] * WINDOW, reference=0.01) is None  # near noise: many times little is little
    spread = [2.0, 3.0] * (WINDOW // 2)  # standard error 0.5 sqrt(20/19) / sqrt(20) = 0.115
    assert after(spread) == pytest.approx(2.5)
    wide = [0.6, 4.0] * (WINDOW // 2)  # 1.7 sqrt(20/19) / sqrt(20) = 0.39, twice it more than 0.3
    assert np.mean(wide) == pytest.approx(2.3) and after(wide) is None
    assert WinnerErrors(4.0).add(None, None) is None and WinnerErrors(4.0).add(0.3, None) is None


def test_a_run_keeps_its_alarms(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the terminal, alarms.json, perf.json, the summary and the card; a run that replaces it begins without."""
    step = Trainer.step

    def bad(trainer: Trainer, *given: Any) -> dict[str, float | None]:
        return step(trainer, *given) | {"error_policy_w": 0.5, "error_reference_w": 0.2}

    monkeypatch.setattr(Trainer, "step", bad)
    run = settings(steps=WINDOW + 2)
    summary = train(run)
    said = "the error on preferred images is 2.5 times the reference's, over the last 20 steps; at 4 times training "
    said += "stops"
    assert capsys.readouterr().err.count(f"ALARM (winner-error) after step 20: {said}.") == 1
    assert [(each.name, each.step, each.said) for each in summary.alarms] == [("winner-error", 20, said)]
    performance = json.loads((run.folder / "perf.json").read_text())
    assert performance["alarms"] == json.loads((run.folder / "alarms.json").read_text())
    assert "alarms.json" in performance["files"]
    card = (run.folder / "model" / "README.md").read_text()
    assert f"- after step 20 {said}" in card and "samples" not in card.split("Alarms:")[1].split("##")[0]
    (alarm,) = train(settings(steps=WINDOW, out=f"{run.out}-inf", max_winner_error=math.inf)).alarms
    assert alarm.said == said.partition(";")[0]
    monkeypatch.setattr(Trainer, "step", step)
    fine = train(settings(steps=3), overwrite=True)
    assert fine.alarms == () and not (run.folder / "alarms.json").exists()
    assert "Alarms" not in (run.folder / "model" / "README.md").read_text()
