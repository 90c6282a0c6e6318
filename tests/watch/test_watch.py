"""A run that is looked at: the same run, contact sheets of what `sample` would draw, and trackers that may fail."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accelerate.tracking
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ddecli.core.errors import Stopped, UserError
from ddecli.models.load import load_for_sampling
from ddecli.sampling.generate import SamplingSettings, sample_images
from ddecli.sampling.prompts import PromptSet, make_prompt_set
from ddecli.scoring.score import ScoringSettings
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings
from ddecli.training.trainer import Trainer
from ddecli.watch.names import TRACKERS
from ddecli.watch.sheets import IMAGES
from ddecli.watch.tracker import _log_picture
from ddecli.watch.watch import Watch

Make = Callable[..., TrainSettings]
PROMPTS = make_prompt_set("mine", ["a red circle", "two blue squares", "a star"])
SPEED = {"pairs_per_second", "memory_mb"}


def watch(
    *trackers: str, prompts: PromptSet | None = None, scoring: ScoringSettings | None = None
) -> Callable[[Trainer], Watch]:
    return partial(Watch, trackers, prompts, scoring)


def metrics(run: TrainSettings) -> list[dict[str, Any]]:
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    return [{name: each for name, each in json.loads(line).items() if name not in SPEED} for line in lines]


def weights(run: TrainSettings) -> dict[str, bytes]:
    """Of every file of the model the tensors; the order of the metadata beside them is not fixed."""
    return {
        f"{file.name}/{name}": value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for file in sorted((run.folder / "model").rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.png")}


def events(run: TrainSettings) -> EventAccumulator:
    found = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return found.Reload()


@pytest.mark.two_threads
@pytest.mark.parametrize("changed", [{}, {"lora": 2, "precision": "bfloat16"}, {"weight_ema": 0.9}])
def test_a_watched_run_is_the_same_run(settings: Make, tmp_path: Path, changed: dict[str, Any]) -> None:
    alone, watched = (settings(out=str(tmp_path / name / "run"), **changed) for name in ("alone", "watched"))
    train(alone)
    train(
        watched.model_copy(update={"sample_every": 1}),
        watch=watch("tensorboard", prompts=PROMPTS),
    )
    assert metrics(alone) == metrics(watched)
    assert weights(alone) == weights(watched)
    after = [load_file(next((run.folder / "checkpoints").rglob("trainable*"))) for run in (alone, watched)]
    assert all((after[0][name] == value).all() for name, value in after[1].items())


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_sheets_show_what_sample_draws(
    settings: Make, family: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The last one of the saved model, which is the average of the weights here; the base beside it."""
    folder, store = (request.getfixturevalue(f"{family}_{name}") for name in ("folder", "store"))
    run = settings(model=str(folder), data=str(store), weight_ema=0.5, sample_every=3)
    train(run, watch=watch(prompts=PROMPTS))
    samples = run.folder / "samples"
    assert sorted(path.name for path in samples.iterdir()) == [
        "base", "step-000003", "step-000003.png", "step-000004", "step-000004.png",
    ]  # fmt: skip
    drawn = {}
    for name, model in (("base", str(folder)), ("step-000004", str(run.folder))):
        out = tmp_path / name
        sample_images(load_for_sampling(model), PROMPTS, SamplingSettings(IMAGES), out)
        for file in sorted(out.glob("*-0?.png")):
            one, other = (
                np.asarray(Image.open(each / file.name)).astype(int) for each in (out, samples / name)
            )
            assert np.abs(one - other).max() <= 1
            drawn[name, file.name] = other
    assert len(drawn) == 2 * 3 * IMAGES
    moved = [(drawn["base", name] != drawn["step-000004", name]).mean() for _, name in drawn]
    assert min(moved) > 0.1
    sheet = Image.open(samples / "step-000004.png")
    assert sheet.width > 4 * 96  # two groups of two


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C is not ignored, as it is where tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_run_that_goes_on_makes_no_sheet_twice(
    settings: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruptible: None
) -> None:
    """Stopped in a step with a sheet, which is then made when the run goes on."""
    whole, run = (
        settings(out=str(tmp_path / name / "run"), steps=6, sample_every=2) for name in ("whole", "stopped")
    )
    train(whole, watch=watch(prompts=PROMPTS))
    step = Trainer.step

    def stopped(trainer: Trainer, number: int, *given: Any) -> Any:
        if number == 3:
            signal.raise_signal(signal.SIGINT)
        return step(trainer, number, *given)

    monkeypatch.setattr(Trainer, "step", stopped)
    with pytest.raises(Stopped):
        train(run, watch=watch(prompts=PROMPTS))
    monkeypatch.setattr(Trainer, "step", step)
    samples = run.folder / "samples"
    before = {file: file.stat().st_mtime_ns for file in samples.rglob("*-0?.png")}
    assert (samples / "step-000002.png").exists() and not (samples / "step-000004").exists()
    train(run, resume=True, watch=watch(prompts=PROMPTS))
    assert before == {file: file.stat().st_mtime_ns for file in before}
    assert pictures(samples) == pictures(whole.folder / "samples")
    assert weights(run) == weights(whole)


def test_the_log_of_tensorboard(settings: Make, sd_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All numbers of metrics.jsonl and of held-out pairs, once a step although a killed run repeats one."""
    changed = {"holdout": str(sd_store), "holdout_pairs": 8, "evaluate_every": 2, "sample_every": 2}
    run = settings(steps=5, checkpoint_every=2, **changed)
    step = Trainer.step

    def killed(trainer: Trainer, number: int, *given: Any) -> Any:
        assert number < 3
        return step(trainer, number, *given)

    with monkeypatch.context() as patched, pytest.raises(AssertionError):
        patched.setattr(Trainer, "step", killed)
        train(run, watch=watch("tensorboard", prompts=PROMPTS))
    assert [line["step"] for line in metrics(run)] == [0, 1, 2]
    train(run, resume=True, watch=watch("tensorboard", prompts=PROMPTS))
    found = events(run)
    for line in metrics(run):
        for name, value in line.items():
            if name != "step" and value is not None:
                (one,) = [each for each in found.Scalars(f"train/{name}") if each.step == line["step"]]
                assert one.value == pytest.approx(value, rel=1e-6)
    holdout = [json.loads(line) for line in (run.folder / "holdout.jsonl").read_text().splitlines()]
    margins = [(each.step, each.value) for each in found.Scalars("holdout/margin")]
    assert margins == [(line["step"], pytest.approx(line["holdout_margin"], rel=1e-6)) for line in holdout]
    assert [each.step for each in found.Images("samples")] == [1, 3, 4]
    assert [each.step for each in found.Images("credit")] == [4]
    noted = list((run.folder / "tensorboard").rglob("hparams.yml"))
    assert noted and "batch_size: 8" in noted[0].read_text()


class Fake(accelerate.tracking.GeneralTracker):
    name = "wandb"
    requires_logging_directory = False
    made: list[dict[str, Any]] = []  # noqa: RUF012
    said: list[Any] = []  # noqa: RUF012
    breaks_at = 100

    def __init__(self, project: str, **named: Any) -> None:
        super().__init__()
        self.made.append({"project": project} | named)

    @property
    def tracker(self) -> None:
        return None

    def start(self) -> None:
        if self.breaks_at < 0:
            raise ConnectionError("no login. Run it.")
        print("on standard output")

    def log(self, values: dict[str, Any], step: int | None = None, **named: Any) -> None:
        if step is not None and step >= self.breaks_at:
            raise ConnectionError("the network is gone. Really.")
        self.said.append((step, values))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[Fake]:
    monkeypatch.setitem(accelerate.tracking.LOGGER_TYPE_TO_CLASS, "wandb", Fake)
    monkeypatch.setattr(Fake, "made", [])
    monkeypatch.setattr(Fake, "said", [])
    return Fake


def test_a_tracker_that_fails_does_not_stop_training(
    settings: Make, fake: type[Fake], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fake, "breaks_at", 2)
    run = settings()
    train(run, watch=watch("wandb", "tensorboard"))
    seen = capsys.readouterr()
    assert "wandb has failed (the network is gone): training goes on without it" in seen.err
    assert seen.err.count("has failed") == 1 and not seen.out
    assert [step for step, _ in fake.said] == [0, 1]
    assert len(metrics(run)) == len(events(run).Scalars("train/loss")) == 4
    assert (run.folder / "model").is_dir()


def test_a_tracker_that_does_not_start_is_one_sentence(
    settings: Make, fake: type[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "breaks_at", -1)
    with pytest.raises(UserError, match=r"^--report-to wandb: it does not start \(no login\); mend that"):
        train(settings(), watch=watch("wandb"))


def test_a_run_that_goes_on_is_known_again(settings: Make, fake: type[Fake]) -> None:
    """And one that replaces it is another one."""
    train(settings(steps=2), watch=watch("wandb"))
    train(settings(steps=4), resume=True, watch=watch("wandb"))
    train(settings(steps=4, seed=1), overwrite=True, watch=watch("wandb"))
    first, second, other = fake.made
    assert first == second and first["resume"] == "allow" and first["name"] == "run"
    assert other["id"] != first["id"]


def test_images_that_become_alike_are_said_once(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "ddecli.watch.sheets.Sheets._distances",
        lambda sheets, group: np.array([1.0, 1.1, 0.9]) * (1 + 3 * (group == "base")),
    )
    run = settings(sample_every=1)
    train(run, watch=watch(prompts=PROMPTS))
    said = capsys.readouterr().err
    assert said.count("the images of a prompt differ 0.25 times as much as the base's") == 1
    assert (
        f"Look at {run.folder / 'samples'}; Ctrl-C stops training with a checkpoint; train again with" in said
    )


@pytest.mark.parametrize("is_resumed", [False, True])
def test_an_alarm_names_the_last_sheet_without_one(
    settings: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    is_resumed: bool,
) -> None:
    """And no later one, where another alarm had rung before."""
    alike_from = 3

    def distances(sheets: Any, group: str) -> np.ndarray:
        is_alike = group != "base" and int(group.removeprefix("step-")) >= alike_from
        return np.array([1.0, 1.1, 0.9]) / (4 if is_alike else 1)

    monkeypatch.setattr("ddecli.watch.sheets.Sheets._distances", distances)
    train(settings(sample_every=1, steps=2 if is_resumed else 4), watch=watch(prompts=PROMPTS))
    if is_resumed:
        train(settings(sample_every=1), resume=True, watch=watch(prompts=PROMPTS))
    assert "ALARM (diversity) after step 3" in (said := capsys.readouterr().err)
    assert "--steps 2 (no alarm until then)" in said

    alike_from = 2
    monkeypatch.setattr("ddecli.training.run_record.worse_than_base", lambda found: "it is worse")
    train(settings(sample_every=1, out=str(tmp_path / "other")), watch=watch(prompts=PROMPTS))
    said = capsys.readouterr().err
    assert "ALARM (held-out) after step 1" in said and "ALARM (diversity) after step 2" in said
    assert "no alarm until then" not in said


def test_a_sheet_that_cannot_be_drawn_loses_no_training(
    settings: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*given: Any) -> None:
        raise UserError("The disk is full.")

    monkeypatch.setattr("ddecli.watch.sheets.Sheets.draw", fails)
    run = settings(sample_every=1)
    train(run, watch=watch(prompts=PROMPTS))
    assert capsys.readouterr().err.count("No contact sheets from step 1 on: The disk is full.") == 1
    assert (run.folder / "model").is_dir()


def test_every_tracker_gets_pictures_as_it_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """(height, width, 3) by itself, in a list, or with a batch before it; some through their own objects."""
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    said: list[tuple[Any, ...]] = []

    class Takes:
        def log_images(self, values: dict[str, Any], step: int, **named: Any) -> None:
            said.append((values["samples"], step, named))

        def log_image(self, *given: Any, **named: Any) -> None:
            said.append((given, named))

        def log(self, values: dict[str, Any], step: int) -> None:
            said.append((values["samples"], step))

        @property
        def tracker(self) -> Takes:
            return self

    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(log_image=Takes().log_image))
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(Image=lambda pixels: ("image", pixels)))
    for name in TRACKERS:
        _log_picture(name, Takes(), "samples", picture, 7)
    found = dict(zip(TRACKERS, said, strict=True))
    for name in ("wandb", "swanlab"):
        assert found[name] == ([picture], 7, {})
    for name in ("aim", "clearml"):
        assert found[name][0] is picture and found[name][1] == 7
    assert found["tensorboard"][0].shape == (1, 2, 4, 3)
    assert found["trackio"] == (("image", picture), 7)
    assert found["mlflow"] == ((picture,), {"key": "samples", "step": 7})
    assert found["comet_ml"] == ((picture,), {"name": "samples", "step": 7})
    assert found["dvclive"] == (("samples/7.png", picture), {})
