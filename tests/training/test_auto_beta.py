"""`--beta auto`: closed forms of the share, the measurement written out draw by draw, and who gets the same number."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule, mean_square
from ddecli.objectives.base import PairErrors, PairObjective
from ddecli.objectives.registry import LOSSES, build_objective
from ddecli.training import auto_beta
from ddecli.training.auto_beta import logit_at
from ddecli.training.loop import train
from ddecli.training.run_folder import with_model, with_pairs
from ddecli.training.settings import TrainSettings, resolve_settings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]
SCHEDULE = NoiseSchedule(torch.tensor([0.9, 0.5, 0.1]))


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer than are looked at otherwise, and more than a first step has."""
    assert auto_beta.DRAWS == 512
    monkeypatch.setattr(auto_beta, "DRAWS", 24)


def link_of(loss: str, **settings: float) -> PairObjective:
    objective = build_objective(loss, SCHEDULE, 1.0, **settings)
    assert isinstance(objective, PairObjective)
    return objective


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_where_a_share_of_the_slope_is_left(share: float) -> None:
    for loss in ("uniform", "dde", "sdpo"):
        assert logit_at(link_of(loss), share) == pytest.approx(math.log((2 - share) / share), rel=1e-12)
    assert logit_at(link_of("ipo"), share) == pytest.approx((1 - share) / 2, rel=1e-12)
    assert logit_at(link_of("hinge"), share) == pytest.approx(
        1, rel=1e-12
    )  # all of it until there, then none
    smoothed = math.log((p := 0.8 - share * 0.3) / (1 - p))
    assert logit_at(link_of("cdpo", label_smoothing=0.2), share) == pytest.approx(smoothed, rel=1e-9)


def test_a_share_that_is_never_reached() -> None:
    """Robust DPO's slope goes to `2 s` of what it is at 0."""
    assert logit_at(link_of("robust", label_smoothing=0.2), 0.41) > 0
    with pytest.raises(
        UserError, match=r"--beta-share 0.39: the gradient of this loss never falls below 0.4 of"
    ):
        logit_at(link_of("robust", label_smoothing=0.2), 0.39)


def beta_of(run: TrainSettings) -> Any:
    return yaml.safe_load((run.folder / "run.yaml").read_text())["beta"]


def slow_margin(settings: TrainSettings) -> float:
    """The typical margin over 24 draws, each alone, by predictions and the weight as it is published."""
    trainer = Trainer(settings.with_any_beta().model_copy(update={"seed": -2}))
    terms = []
    for number in range(24):
        batch = trainer.batches(range(number, number + 1))
        assert trainer.base is not None
        with torch.no_grad():
            noisy = trainer.base.schedule.add_noise(batch.latents, batch.eps, batch.t)
            off = trainer.base.predict(noisy, batch.t, batch.conditioning, batch.sizes) - batch.eps
        winner, loser = mean_square(off).tolist()
        abar = float(trainer.base.schedule.alphas_cumprod[batch.t[0]])
        weight = (1 - abar) / abar / 2 if settings.loss == "dde" else 0.5
        terms.append(weight * abs(winner - loser))
    return math.fsum(terms) / 24


@pytest.mark.parametrize(("loss", "share"), [("dde", None), ("uniform", 0.2)])
def test_the_number_is_what_the_rule_says(settings: Make, loss: str, share: float | None) -> None:
    run = settings(loss=loss, beta="auto", beta_share=share, steps=3)
    train(run)
    share = share or 0.5
    expected = math.log((2 - share) / share) / slow_margin(run)
    assert beta_of(run) == pytest.approx(expected, rel=0.051) and f"{beta_of(run):.1e}" == f"{expected:.1e}"
    first = json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[0])
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-7)


def test_the_share_is_what_is_left_at_the_typical_margin(settings: Make) -> None:
    run = settings(loss="uniform", beta="auto", beta_share=0.3, steps=4)
    objective, margin = Trainer(run).objective, slow_margin(run)
    zero, typical = torch.zeros(1), torch.tensor([-2 * margin])  # D, whose weight is 1/2
    t = torch.zeros(1, dtype=torch.long)
    weights = [objective(PairErrors(D, zero, zero, zero, t)).gradient_weight for D in (zero, typical)]
    assert float(weights[1] / weights[0]) == pytest.approx(0.3, rel=0.06)  # beta has two digits


def test_it_is_the_same_however_the_errors_come(settings: Make, tmp_path: Path) -> None:
    """In other micro-batches, with adapters and another seed, and where all errors of the run itself are kept."""
    seed = 31  # of no other test: the store is shared, and with it the errors that are kept beside it
    asked = {"loss": "uniform", "beta": "auto", "steps": 5, "reference": "keep", "seed": seed}
    runs = [
        settings(**asked | {"out": str(tmp_path / name)} | changed)
        for name, changed in (
            ("a", {}),
            ("b", {"micro_batch_size": 3}),
            ("c", {"lora": 2, "prompt_dropout": 0.2, "seed": 7}),
            ("d", {}),
        )
    ]
    for run in runs:
        train(run)
    assert len({beta_of(run) for run in runs}) == 1
    draws = [json.loads((run.folder / "perf.json").read_text())["reference_draws"]["read"] for run in runs]
    assert draws[0] == 0 and draws[3] == 40
    trainer = Trainer(with_model(with_pairs(runs[3]), resume=False))
    assert trainer.base is None and trainer.reference is None


@pytest.mark.parametrize("loss", LOSSES)
def test_whose_beta_can_be_measured(loss: str) -> None:
    given = {"model": "tiny", "loss": loss, "beta": "auto"}
    measured = {
        "uniform",
        "discounted",
        "spin",
        "seppo",
        "sspo",
        "sdpo",
        "dde",
        "dde-single",
        "dde-step",
        "ipo",
        "hinge",
        "cdpo",
        "robust",
    }
    if loss in measured:
        assert resolve_settings(given).beta == "auto" and resolve_settings(given).beta_share == 0.5
        return
    with pytest.raises(
        UserError, match="has no beta; leave it out" if loss == "sft" else "no factor before a margin"
    ):
        resolve_settings(given)


def test_pictures_that_do_not_differ_set_no_beta(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ddecli.training.auto_beta.errors_by_row", lambda model, batch, cast: torch.ones(len(batch.t))
    )
    with pytest.raises(UserError, match="differ by 0 on 24 draws"):
        train(settings(loss="uniform", beta="auto"))
