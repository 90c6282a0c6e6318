"""Losses by name: which objective, which timesteps, and what is refused."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import DDIMScheduler

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.diffusion.timesteps import TimestepSampler
from ddecli.objectives.losses.dde import DDE
from ddecli.objectives.registry import LOSSES, build_objective, build_sampler, known_loss, loss_weights
from ddecli.training.fields import LOSS_HELP
from ddecli.training.settings import resolve_settings

ROOT = Path(__file__).parents[2]
HARD = ("sft", "mapo", "dspo", "kto", "linear-dpo", "seppo", "sspo")
SCHEDULE = NoiseSchedule(torch.tensor([0.9, 0.5, 0.1]))


def test_every_loss_can_be_built() -> None:
    by_paper = [
        "cdpo",
        "dspo",
        "sft",
        "hinge",
        "ipo",
        "uniform",
        "discounted",
        "spin",
        "robust",
        "kto",
        "mapo",
        "seppo",
        "sspo",
        "dde",
        "dde-single",
        "dde-step",
        "sdpo",
        "linear-dpo",
    ]
    assert list(LOSSES) == by_paper
    for name in LOSSES:
        objective = build_objective(name, SCHEDULE, 5000)
        assert (objective.corrections() is not None) == (name in ("dde", "dde-step"))
        assert objective.needs_losers == (name != "sft")
        assert LOSSES[name].has_soft_labels == (name not in HARD)
        assert objective.needs_reference == (name not in ("sft", "mapo"))
        probabilities = build_sampler(name, 1000).probabilities
        assert (float(probabilities[999] / probabilities[0]) > 100) == (name == "discounted")


def test_discounted_is_uniform_with_other_timesteps() -> None:
    assert LOSSES["discounted"].objective is LOSSES["uniform"].objective
    inside = build_sampler("discounted", 1000, "0.3-0.4", gamma=0.5, K=10)
    assert inside.probabilities.nonzero().flatten().tolist() == list(range(300, 400))
    published = TimestepSampler.discounted(1000, 0.9, 50).probabilities
    assert torch.equal(build_sampler("discounted", 1000).probabilities, published)
    ten_steps = build_sampler("discounted", 1000, gamma=0.5, K=10).probabilities
    assert float(ten_steps[999] / ten_steps[899]) == 2


def test_segments_reach_the_uniform_sampler() -> None:
    inside = build_sampler("dde", 1000, "0.3-0.4").probabilities
    assert inside.nonzero().flatten().tolist() == list(range(300, 400))
    with pytest.raises(UserError, match=r"'0\.4-0\.3'"):
        build_sampler("dde", 1000, "0.4-0.3")


def test_settings_reach_the_table() -> None:
    objective = build_objective("dde", SCHEDULE, 5000, ema_decay=0.5, correction_bins=2)
    assert isinstance(objective, DDE)
    assert objective.table.ema_decay == 0.5
    assert objective.state_dict()["means"].shape == (4, 2)


def test_what_cannot_work_is_refused() -> None:
    choices = ", ".join(LOSSES)
    with pytest.raises(UserError, match=f"'ddo'; choose one of {choices}"):
        build_objective("ddo", SCHEDULE, 5000)
    with pytest.raises(UserError, match=f"'ddo'; choose one of {choices}"):
        build_sampler("ddo", 1000)
    for beta in (0, -1, float("nan"), float("inf")):
        with pytest.raises(UserError, match="beta"):
            build_objective("uniform", SCHEDULE, beta)


@pytest.mark.parametrize("last", [0.0, 2.0**-24])
def test_zero_terminal_snr_has_no_single_shot_estimate(last: float) -> None:
    schedule = NoiseSchedule(torch.tensor([0.9, 0.5, last], dtype=torch.float64))
    for name in ("dde", "dde-single", "dde-step"):
        with pytest.raises(
            UserError, match="zero SNR, where by errors of the noise the single-shot estimate does not exist"
        ):
            build_objective(name, schedule, 5000)
    for name in sorted(set(LOSSES) - {"dde", "dde-single", "dde-step"}):
        build_objective(name, schedule, 5000)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_zero_terminal_snr_can_be_used_in_native_units(kind: str) -> None:
    abar = torch.tensor([0.9, 0.5, 0.0], dtype=torch.float64)
    for name in ("dde", "dde-single", "dde-step"):
        if kind == "epsilon":  # its native unit is the noise
            with pytest.raises(UserError, match="infinite; use uniform or discounted"):
                build_objective(name, NoiseSchedule(abar, kind, "native"), 5000)
            continue
        build_objective(name, NoiseSchedule(abar, kind, "native"), 5000)
        with pytest.raises(UserError, match="give --error native"):
            build_objective(name, NoiseSchedule(abar, kind, "noise"), 5000)


def test_names_are_known_without_torch() -> None:
    code = "import sys, ddecli.objectives.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_mean_weight_is_that_of_stable_diffusion_s_schedule() -> None:
    schedule = NoiseSchedule.from_scheduler(
        DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    )
    weights = loss_weights(schedule)
    assert set(weights) == {
        "uniform", "discounted", "spin", "seppo", "sspo", "sdpo", "dde", "dde-single", "dde-step",
    }  # fmt: skip
    assert {weight.dtype for weight in weights.values()} == {torch.float64}
    for name, weight in weights.items():
        assert LOSSES[name].mean_weight == pytest.approx(float(weight.mean()), rel=3e-3), name
    expected = {
        "sft": None, "uniform": 5000, "discounted": 5000, "dde": 250, "dde-single": 250, "dde-step": 1100,
        "ipo": 5000, "hinge": 5000, "cdpo": 5000, "robust": 5000, "mapo": 0.1, "dspo": 0.001, "sdpo": 5000,
        "linear-dpo": 100, "kto": 1000,
    }  # fmt: skip
    assert {name: LOSSES[name].usual_beta for name in expected} == expected


def test_other_names_mean_one_loss() -> None:
    assert known_loss("dpo") is known_loss("diffusion-dpo") is known_loss("uniform")
    settings = resolve_settings({"model": "tiny", "loss": "dpo"})
    assert (settings.loss, settings.out) == ("uniform", "runs/tiny-uniform")
    others = [name for loss in LOSSES.values() for name in loss.also]
    assert len({*others, *LOSSES}) == len(others) + len(LOSSES)


def test_losses_are_told_apart() -> None:
    """By what is typed, by what tables call them, by what is read of a label, and in figures."""
    for of in (
        lambda loss: loss.name,
        lambda loss: loss.label,
        lambda loss: re.sub("[^a-z0-9]", "", loss.label.lower()),
        lambda loss: loss.summary,
        lambda loss: loss.colour,
        lambda loss: loss.marker,
    ):
        assert len({of(loss) for loss in LOSSES.values()}) == len(LOSSES)
    assert all(re.fullmatch(r"(arXiv:\d{4}\.\d{5})?", loss.paper) for loss in LOSSES.values())


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_is_described_wherever_losses_are_listed(loss: str) -> None:
    rows = [
        line.split("|")[1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `")
    ]
    assert any(f"`{loss}`" in names for names in rows)
    assert f"- {loss}: {LOSSES[loss].summary}" in LOSS_HELP
    recipes = yaml.safe_load((ROOT / "ddecli" / "training" / "recipes.yaml").read_text())
    for model, recipe in recipes.items():
        for of in [recipe["full"], recipe["lora"]] if "full" in recipe else [recipe]:
            assert of["losses"][loss]["lr"] > 0, model
    assert (ROOT / "ddecli" / "objectives" / "losses" / f"{loss.replace('-', '_')}.py").is_file()


def test_a_file_is_all_that_makes_a_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A new file is listed, builds, and has its colour in figures, without a word anywhere else."""
    (tmp_path / "doubled.py").write_text(
        "from dataclasses import replace\nfrom ddecli.objectives.losses.uniform import LOSS as UNIFORM\n"
        "LOSS = replace(UNIFORM, name='doubled', label='Twice', paper='arXiv:9999.99999', colour='#123456')\n"
    )
    code = (
        f"import ddecli.objectives.losses as losses; losses.__path__.append({str(tmp_path)!r})\n"
        "from ddecli.training.fields import LOSS_HELP\n"
        "from ddecli.reproduction.evidence import LABELS\n"
        "from ddecli.figures.style import colours\n"
        "from ddecli.training.settings import resolve_settings\n"
        "from ddecli.core.errors import UserError\n"
        "print('- doubled: ' in LOSS_HELP, LABELS['doubled'], colours(['Twice'])['Twice'])\n"
        "print(resolve_settings({'model': 'sd15', 'loss': 'doubled', 'lr': 1e-5}).beta)\n"
        "try:\n    resolve_settings({'model': 'sd15', 'loss': 'doubled'})\n"
        "except UserError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines() == [
        "True Twice #123456",
        "5000.0",
        "There is no recipe for the loss 'doubled' with --model sd15: give --lr (and --beta).",
    ]
