"""What a configuration asks for: the commands of every job, and which files each reads."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny_models
import yaml
from plans import ROOT, snakemake
from snakemake.utils import validate

from ddecli.workflow.jobs import Jobs, SampleJobs, TrainJobs
from ddecli.workflow.plan import Plan
from ddecli.workflow.report import ExperimentDescription, FigureJobs

HERE = Path(__file__).parent
CONFIG = HERE / "small.yaml"
JOB = re.compile(
    r"^(?:local)?rule (\S+):\n(?:    .*\n)*Shell command: (?:logged \S+ (?:on_gpus 0 )?)?(.*?) *$",
    re.MULTILINE,
)
IMAGES, RUNS = "results/images/first", "results/runs/first"


def commands(output: str) -> list[str]:
    """Rule and command of every job of a dry run that calls ddecli, sorted, without what all have in common."""
    return sorted(f"{rule}: {command}" for rule, command in JOB.findall(output) if "ddecli " in command)


def test_every_job_has_the_command_that_the_configuration_asks_for(tmp_path: Path) -> None:
    """The list is one to read: what changes in it is run again by everybody."""
    (tmp_path / "prompts.txt").write_text("a red circle\n")
    found = snakemake(tmp_path, "--dry-run", "--printshellcmds", "--configfile", CONFIG)
    assert found.returncode == 0, found.stdout
    assert commands(found.stdout) == (HERE / "small-plan.txt").read_text().splitlines()


@pytest.fixture
def config() -> dict[str, Any]:
    settings = yaml.safe_load(CONFIG.read_text())
    validate(settings, str(ROOT / "workflow" / "schemas" / "config.schema.yaml"))  # fills in defaults
    return settings


def test_the_report_waits_for_all_that_claims_are_judged_by(config: dict[str, Any]) -> None:
    plan = Plan(config)
    found = ExperimentDescription(plan, FigureJobs(plan)).inputs(None)
    assert len(set(found)) == len(found)
    assert set(found) == {
        *(f"{IMAGES}/{row}/test/scores.parquet" for row in ("base", "sft/seed-10", "dde/seed-10")),
        *(f"{IMAGES}/{row}/test/scores.parquet" for row in ("dde/seed-11", "dde-0-0.1/seed-10")),
        *(f"{IMAGES}/{row}/second-guidance/scores.parquet" for row in ("base", "sft/seed-10", "dde/seed-10")),
        *(f"{IMAGES}/{row}/classes/inception.json" for row in ("base", "dde/seed-10", "dde/seed-11")),
        *(f"{RUNS}/{row}/credit.npz" for row in ("sft/seed-10", "dde/seed-10", "dde/seed-11")),
        *(f"{RUNS}/{row}/credit.npz" for row in ("dde-0-0.1/seed-10",)),
        *(f"{RUNS}/regime/dde-beta{beta}/seed-10/credit.npz" for beta in (20, 320)),
        *(f"results/images/second/{row}/test/scores.parquet" for row in ("base", "uniform/seed-3")),
        "results/runs/second/uniform/seed-3/credit.npz",
        "results/grid/first.json",
    }


def test_the_description_says_which_folders_play_which_role(config: dict[str, Any]) -> None:
    plan = Plan(config)
    experiment = ExperimentDescription(plan, FigureJobs(plan))
    assert experiment.models(None) == {
        "first": {
            "paper": "SD15",
            "methods": {"sft": {"label": "SFT", "loss": "sft"}, "dde": {"label": "DDE's", "loss": "dde"}},
            "scores": {
                "base": [f"{IMAGES}/base/test"],
                "sft": [f"{IMAGES}/sft/seed-10/test"],
                "dde": [f"{IMAGES}/dde/seed-10/test", f"{IMAGES}/dde/seed-11/test"],
            },
            "runs": {
                "sft": [f"{RUNS}/sft/seed-10"],
                "dde": [f"{RUNS}/dde/seed-10", f"{RUNS}/dde/seed-11"],
            },
            "segments": {"0-0.1": [f"{IMAGES}/dde-0-0.1/seed-10/test"]},
            "regime": {"dde": [f"{RUNS}/regime/dde-beta{beta}/seed-10" for beta in (20, 320)]},
            "second_guidance": {
                "base": [f"{IMAGES}/base/second-guidance"],
                "sft": [f"{IMAGES}/sft/seed-10/second-guidance"],
                "dde": [f"{IMAGES}/dde/seed-10/second-guidance"],
            },
            "inception": {
                "base": [f"{IMAGES}/base/classes"],
                "dde": [f"{IMAGES}/dde/seed-10/classes", f"{IMAGES}/dde/seed-11/classes"],
            },
        },
        "second": {
            "paper": None,
            "methods": {"uniform": {"label": "Uni", "loss": "uniform"}},
            "scores": {
                "base": ["results/images/second/base/test"],
                "uniform": ["results/images/second/uniform/seed-3/test"],
            },
            "runs": {"uniform": ["results/runs/second/uniform/seed-3"]},
        },
    }
    assert experiment.tables(None) == {number: f"paper/table{number}.json" for number in (2, 3, 4)}
    assert experiment.grid(None) == {"first": "results/grid/first.json"}
    assert [figure["file"] for figure in experiment.figures(None)][:2] == [
        "figures/beat-ratios.png",
        "figures/coefficients.png",
    ]


def test_a_kept_record_stands_in_for_a_grid(config: dict[str, Any]) -> None:
    config["models"]["first"]["choices"] = "kept.json"
    plan = Plan(config)
    assert [plan.record(model) for model in plan.models] == ["kept.json", None]
    train = TrainJobs(plan)
    assert train.choice(SimpleNamespace(model="first", run="dde")) == ["results/choices/first/dde.yaml"]
    assert train.choice(SimpleNamespace(model="first", run="grid/dde-lr1e-05-beta5")) == []
    assert train.choice(SimpleNamespace(model="second", run="uniform")) == []


def test_speed_is_given_and_not_recorded(config: dict[str, Any]) -> None:
    train, wildcards = Jobs(Plan(config), "train"), SimpleNamespace(model="first", run="sft", seed="10")
    assert train.options(wildcards) == "--model tiny --loss sft --steps 3"
    assert str(train.speed(wildcards)) == "--micro-batch-size 2"


def test_the_model_of_a_run_was_read_by_its_training(
    config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_models.sd_pipeline().save_pretrained("model")
    Path("prompts.txt").write_text("a red circle\n")
    config["models"]["first"]["source"] = "model"
    sample = SampleJobs(Plan(config))
    base, run = (
        SimpleNamespace(model="first", trained=trained, split="test", scatteritem="1-of-4")
        for trained in ("base", "dde/seed-10")
    )
    assert sample.files(base)[-1] == "prompts.txt" and "model/unet/config.json" in sample.files(base)
    assert sample.files(run) == ["prompts.txt"]
    assert sample.content(base) != sample.content(run)
    (finished,) = sample.run(run)
    assert sample.run(base) == [] and finished == f"{RUNS}/dde/seed-10/perf.json"
    assert sample.model(base, SimpleNamespace(run=[])) == "model"
    assert sample.model(run, SimpleNamespace(run=[finished])) == f"{RUNS}/dde/seed-10"
    assert sample.shard(run) == "1/4"
    prepare = Jobs(Plan(config), "prepare")
    assert not any("unet" in file for file in prepare.files(SimpleNamespace(model="first")))


def test_figures_show_the_methods_that_have_what_they_draw(config: dict[str, Any]) -> None:
    """A loss with another link has credit and no logit; one without beta has neither."""
    config["models"]["first"]["methods"]["ipo"] = {"label": "IPO", "loss": "ipo", "seeds": 1}
    figures = FigureJobs(Plan(config)).all
    shown = {name: list(figures[name].runs) for name in ("curves", "credit", "log-sigmoid", "corrections")}
    assert shown == {
        "curves": ["sft", "dde", "ipo"],
        "credit": ["dde", "ipo"],
        "log-sigmoid": ["dde"],
        "corrections": ["dde"],
    }
