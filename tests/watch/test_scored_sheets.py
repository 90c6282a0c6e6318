"""Sheets that are scored: what `ddecli score` gives, beside the base, and a scorer that fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ttest_1samp
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddecli.core.errors import UserError
from ddecli.core.scores import ScoreSet, load_scores
from ddecli.sampling.prompts import make_prompt_set
from ddecli.scoring.score import Scorers, ScoringSettings, score_images
from ddecli.scoring.sources import read_source
from ddecli.tinyworld.prompts import world_prompts
from ddecli.training.loop import train
from ddecli.training.record import MetricsLog
from ddecli.training.settings import TrainSettings
from ddecli.watch.scores import KeptScorers, lines, numbers
from ddecli.watch.watch import Watch

Make = Callable[..., TrainSettings]
PROMPTS = make_prompt_set("mine", world_prompts("validation"), 5)
SCORING = ScoringSettings(("clip", "pickscore"), "tiny")


def scored(run: TrainSettings, *trackers: str, scoring: ScoringSettings = SCORING, **named: Any) -> None:
    train(run, watch=partial(Watch, trackers, PROMPTS, scoring), **named)


def noted(run: TrainSettings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run.folder / "samples.jsonl").read_text().splitlines()]


def prompt_means(folder: Path, metric: str) -> np.ndarray:
    return load_scores(folder).metric(metric).prompt_means()


def test_scores_are_those_of_the_command(
    settings: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And differences and intervals those of scipy's test of pairs."""
    run = settings(sample_every=2)
    scored(run, "tensorboard")
    seen = capsys.readouterr()
    assert [line["step"] for line in noted(run)] == [1, 3]
    samples = run.folder / "samples"
    for step, line in zip((2, 4), noted(run), strict=True):
        here = samples / f"step-{step:06d}"
        again = score_images(read_source([here]), SCORING, None)
        for metric in ("clip", "pickscore", "diversity"):
            own, base = prompt_means(here, metric), prompt_means(samples / "base", metric)
            assert np.allclose(again.metric(metric).prompt_means(), own, rtol=1e-5)
            low, high = ttest_1samp(own - base, 0).confidence_interval(0.95)
            found = [line[f"{metric}{what}"] for what in ("", "_difference", "_low", "_high")]
            assert found == pytest.approx([own.mean(), (own - base).mean(), low, high], abs=1e-6)
            assert f"{metric:<11} {own.mean():8.4f}   {(own - base).mean():+.4f} ({low:+.4f} .. " in seen.err
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    logged = [(each.step, each.value) for each in events.Scalars("samples/clip_difference")]
    assert logged == [(line["step"], pytest.approx(line["clip_difference"])) for line in noted(run)]
    assert "scored by clip, pickscore: 4 MiB of main memory while the run lasts." in seen.err
    assert max(len(line) for line in seen.err.splitlines() if "clip" in line and "MiB" not in line) <= 80
    files = json.loads((run.folder / "perf.json").read_text())["files"]
    assert "samples.jsonl" in files


def test_a_scored_run_is_the_same_run(settings: Make, tmp_path: Path) -> None:
    """To the last bit, and the random numbers of its process are left alone."""
    alone, watched = (settings(out=str(tmp_path / name / "run"), sample_every=1) for name in ("a", "b"))
    torch.manual_seed(7)
    train(alone, watch=partial(Watch, (), PROMPTS, None))
    after = torch.rand(3)
    torch.manual_seed(7)
    scored(watched)
    assert torch.equal(after, torch.rand(3))
    weights = [
        next((run.folder / "checkpoints").rglob("trainable*")).read_bytes() for run in (alone, watched)
    ]
    assert weights[0] == weights[1]


def test_scorers_are_loaded_once(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one alone is on the device: `meta` stands for a GPU."""
    loaded = []
    load = Scorers.__call__.__globals__["load_scorer"]

    def counted(metric: str, *given: Any) -> Any:
        loaded.append(metric)
        return load(metric, *given)

    monkeypatch.setattr("ddecli.watch.scores.load_scorer", counted)
    scored(settings(sample_every=1))
    assert loaded == ["clip", "pickscore"]

    class Model:
        device = "cuda"

        def to(self, device: Any) -> None:
            self.device = str(device)

    class Fake:
        def __init__(self) -> None:
            self.model = Model()

    monkeypatch.setattr("ddecli.watch.scores.load_scorer", lambda *given: Fake())
    monkeypatch.setattr("torch.cuda.empty_cache", lambda: None)
    scorers = KeptScorers("cuda")
    sources: list[Any] = ["a", "b"]
    first, second = scorers("clip", sources[0]), scorers("hps", sources[1])
    assert (first.model.device, second.model.device) == ("cpu", "cuda")
    assert scorers("clip", sources[0]) is first and (first.model.device, second.model.device) == (
        "cuda",
        "cpu",
    )
    scorers.put_away()
    assert first.model.device == "cpu"


def test_a_scorer_that_fails_loses_neither_training_nor_sheets(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = settings(sample_every=1)

    def fails(source: Any, *given: Any, **named: Any) -> Any:
        if "step-000002" in source.name:
            raise RuntimeError("CUDA error: out of luck. Compile with.")
        return score_images(source, *given, **named)

    monkeypatch.setattr("ddecli.watch.scores.score_images", fails)
    scored(run)
    said = capsys.readouterr().err
    assert said.count("has failed (CUDA error: out of luck): training goes on") == 1
    assert [("clip" in line) for line in noted(run)] == [True, False, False, False]
    assert len(list((run.folder / "samples").glob("*.png"))) == 4 and (run.folder / "model").is_dir()


def test_a_run_that_goes_on_keeps_what_was_noted(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    run, whole = settings(sample_every=2, steps=2), settings(sample_every=2, steps=6, out="whole")
    scored(run)
    monkeypatch.chdir(run.folder.parent)
    scored(settings(sample_every=2, steps=6), resume=True)
    scored(whole)
    assert noted(run) == noted(whole) and len(noted(run)) == 3


def test_one_prompt_has_no_interval() -> None:
    """Nothing is said of chance then."""
    from score_sets import score_set

    from ddecli.stats.compare import compare

    one = {"clip": np.array([[0.5, 0.25]])}
    found = compare(score_set("a", one, "a"), score_set("b", {"clip": one["clip"] - 0.25}, "b"))
    assert numbers(found) == {"clip": 0.375, "clip_difference": 0.25, "clip_low": None, "clip_high": None}
    assert lines(found) == [("clip          0.3750   +0.2500", False)]


def test_the_page_holds_its_lines(settings: Make) -> None:
    """A scored sheet is higher than one without scores, and no wider."""
    run = settings(sample_every=4)
    scored(run)
    page = Image.open(run.folder / "samples" / "step-000004.png")
    assert page.width == 488
    foot = np.asarray(page.convert("L"))[-24 - 4 * 20 : -24]
    ink = np.flatnonzero((foot < 128).any(axis=0))
    assert ink.size and ink.max() <= page.width - 24


def test_a_disk_that_is_full_loses_no_training(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither where scores are written nor where samples.jsonl is, which is closed all the same in the end."""

    class Full(MetricsLog):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self._file.close()
            self._file = Path("/dev/full").open("a", encoding="utf-8")  # noqa: SIM115

    monkeypatch.setattr("ddecli.watch.watch.MetricsLog", Full)
    run = settings(sample_every=2)
    scored(run)
    said = capsys.readouterr().err
    assert said.count("No contact sheets from step 2 on: No space left on device") == 1
    assert (run.folder / "model").is_dir()
    monkeypatch.undo()

    save = ScoreSet.save

    def fails(scores: ScoreSet, folder: Path) -> None:
        if folder.name != "base":
            raise UserError("Cannot write scores.parquet: No space left on device.")
        save(scores, folder)

    monkeypatch.setattr(ScoreSet, "save", fails)
    other = settings(sample_every=2, out=str(run.folder.parent / "other"))
    scored(other)
    said = capsys.readouterr().err
    assert (
        said.count("has failed (Cannot write scores.parquet: No space left on device): training goes on") == 1
    )
    assert len(noted(other)) == 2 and (other.folder / "model").is_dir()
