"""The workflow: every configuration as a dry run, and the shrunken paper for real."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import smoke
import yaml
from plans import ROOT, jobs, snakemake

from ddecli.reproduction.experiment import Experiment, read_experiment

CONFIGS = sorted((ROOT / "workflow" / "config").glob("*.yaml"))
NOTHING = "Nothing to be done"
GPUS = (("prepare", 8), ("train", 8), ("sample", 1), ("score", 1), ("inception", 1))
"""GPUs of a job in the paper's configuration."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the shrunken paper reads."""
    return smoke.make(tmp_path_factory.mktemp("models") / "smoke")


def ready(folder: Path, models: Path) -> Path:
    """A working directory with the records that choices are taken from, and all that the configurations read."""
    shutil.copytree(ROOT / "benchmarks" / "results", folder / "benchmarks" / "results")
    shutil.copytree(models, folder / "smoke")
    for mine, here in {"my-model": "sd15", "my-pairs": "pairs", "my-prompts.txt": "prompts.txt"}.items():
        (folder / mine).symlink_to(folder / "smoke" / here)
    return folder


@pytest.fixture
def folder(tmp_path: Path, models: Path) -> Path:
    return ready(tmp_path, models)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_configuration_has_a_whole_plan(config: Path, folder: Path) -> None:
    found = snakemake(folder, "--dry-run", "--quiet", "rules", "--configfile", config)
    assert found.returncode == 0, found.stdout
    settings = yaml.safe_load(config.read_text())
    reported = [
        method["seeds"] for model in settings["models"].values() for method in model["methods"].values()
    ]
    planned = jobs(found.stdout)
    assert planned["train"] >= sum(reported)
    assert planned.get("table", 0) == len(settings.get("tables", {}))
    assert planned["side_by_side"] == len(settings["models"])
    assert planned["report"] == planned["manifest"] == 1


def test_the_default_is_the_tiny_world(folder: Path) -> None:
    found = snakemake(folder, "paper/tiny/table2.md", "--dry-run", "--quiet", "rules")
    assert found.returncode == 0, found.stdout
    assert jobs(found.stdout)["train"] == 36  # six methods, six seeds


@pytest.fixture(scope="module")
def tiny(models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Experiment, dict[str, int]]:
    """A working directory with the experiment of the tiny world, that experiment, and the jobs of its whole plan."""
    folder = ready(tmp_path_factory.mktemp("tiny"), models)
    found = snakemake(folder, "results/tiny/experiment.yaml")
    assert found.returncode == 0, found.stdout
    experiment = read_experiment(folder / "results" / "tiny" / "experiment.yaml")
    whole = snakemake(folder, "paper/tiny/claims.json", "--dry-run", "--quiet", "rules")
    assert whole.returncode == 0, whole.stdout
    return folder, experiment, jobs(whole.stdout)


def test_trainings_until_logits_saturate_are_drawn_and_reported(
    tiny: tuple[Path, Experiment, dict[str, int]],
) -> None:
    folder, experiment, whole = tiny
    found = snakemake(folder, "paper/tiny/figures/credit-steps.png", "--dry-run", "--quiet", "rules")
    assert found.returncode == 0, found.stdout
    assert {name: jobs(found.stdout).get(name) for name in ("prepare", "train", "sample", "figure")} == {
        "prepare": 1, "train": 3 * 3 * 3, "sample": None, "figure": 1,
    }  # fmt: skip
    runs = "results/tiny/runs/tiny/regime/dde-beta"
    assert [str(path) for path in experiment.models["tiny"].regime["dde"]] == [
        f"{runs}{beta}/seed-{seed}" for beta in (20, 320, 5120) for seed in (20, 21, 22)
    ]
    assert "figures/credit-steps.png" in [str(figure.file) for figure in experiment.figures]
    assert whole["train"] == 36 + 6 * 6 + 3 * 6 + 27  # the report waits for them


def test_base_and_methods_are_sampled_at_a_second_guidance_scale(
    tiny: tuple[Path, Experiment, dict[str, int]],
) -> None:
    """The first training of each alone, with the options of the tables but for what is said."""
    folder, experiment, whole = tiny
    second = experiment.models["tiny"].second_guidance
    images = "results/tiny/images/tiny"
    assert {row: [str(path) for path in given] for row, given in second.items()} == {
        "base": [f"{images}/base/second-guidance"]
    } | {
        row: [f"{images}/{row}/seed-20/second-guidance"]
        for row in ("sft", "uniform", "discounted", "dde", "dde-single", "dde-step")
    }
    target = f"{images}/dde/seed-20/second-guidance/scores.parquet"
    found = snakemake(folder, target, "--dry-run", "--printshellcmds")
    assert found.returncode == 0, found.stdout
    line = next(line for line in found.stdout.splitlines() if "ddecli sample" in line)
    for words in ("--prompts world:test", "--guidance-scale 2", "--num-prompts 200", "--images-per-prompt 1"):
        assert words in line
    assert {name: jobs(found.stdout)[name] for name in ("train", "sample", "score")} == {
        "train": 1, "sample": 1, "score": 1,
    }  # fmt: skip
    assert whole["score"] == 36 + 6 * 6 + 3 * 6 + 2 + 7 + 4  # the report waits for them


def test_a_grid_can_be_run_again(folder: Path) -> None:
    found = snakemake(folder, "grid", "--dry-run", "--quiet", "rules")
    assert found.returncode == 0, found.stdout
    assert jobs(found.stdout)["train"] == 3 * (5 * 5 * 3 + 3) + 2 * (3 * 6)


def test_a_workstation_gives_every_heavy_job_a_gpu(folder: Path) -> None:
    profile = ROOT / "workflow" / "profiles" / "workstation"
    config = ROOT / "workflow" / "config" / "paper.yaml"
    found = snakemake(
        folder, "--dry-run", "--workflow-profile", profile, "--resources", "gpu=8", "--configfile", config
    )
    assert found.returncode == 0, found.stdout
    rules = found.stdout.split("\nrule ")[1:]
    asked = {
        name: {text.count(f"gpu={count}") for text in rules if text.startswith(f"{name}:")}
        for name, count in GPUS
    }
    assert asked == {name: {1} for name, _ in GPUS}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sedes": 3}, "sedes is no known key"),
        (
            {"models": {"tiny": {"train": {"stepz": 3}}}},
            "models.tiny.train.stepz: ddecli train has no option --stepz; did you mean steps?",
        ),
        (
            {"tables": {2: {"methods": ["unifrom"]}}},
            "tables.2.methods: the model tiny has no method 'unifrom'; did you mean uniform?",
        ),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(
    change: dict[str, Any], said: str, folder: Path
) -> None:
    """All that can be wrong is in test_check.py."""
    (folder / "wrong.yaml").write_text(yaml.safe_dump(change))
    both = [ROOT / "workflow" / "config" / "tiny.yaml", folder / "wrong.yaml"]
    found = snakemake(folder, "--configfile", *both)
    assert found.returncode != 0
    last = found.stdout.strip().splitlines()[-1]
    assert "wrong.yaml: " in last and said in last
    assert not (folder / "results").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[..., str]]:
    """The shrunken paper, run from nothing."""
    folder = tmp_path_factory.mktemp("workflow")
    smoke.make(folder / "smoke")
    settings = yaml.safe_load((ROOT / "workflow" / "config" / "paper-smoke.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))

    def again(*arguments: str) -> str:
        found = snakemake(folder, "--configfile", folder / "config.yaml", "--show-failed-logs", *arguments)
        assert found.returncode == 0, found.stdout[-8000:]
        return found.stdout

    again()
    return folder, again


def test_the_shrunken_paper_leaves_everything(run: tuple[Path, Callable[..., str]]) -> None:
    paper = run[0] / "paper" / "paper-smoke"
    for number in (2, 3, 4):
        for suffix in ("md", "csv", "tex", "json"):
            assert (paper / f"table{number}.{suffix}").stat().st_size
    assert "DDE" in (paper / "table2.md").read_text()
    figures = {path.stem for path in (paper / "figures").glob("*.png")}
    assert {"segments", "beat-ratios", "credit", "corrections", "images", "images-sdxl"} <= figures
    assert figures == {path.stem for path in (paper / "figures").glob("*.pdf")}
    claims = json.loads((paper / "claims.json").read_text())
    assert sum(claims["counts"].values()) == len(claims["claims"]) > claims["counts"]["not measured"]
    for suffix in ("md", "html", "pdf"):
        assert (paper / f"reproduction.{suffix}").stat().st_size
    manifest = json.loads((paper / "manifest.json").read_text())
    assert manifest["jobs"]["train"]["count"] == 5
    assert manifest["wall_seconds"] > 0


def test_a_second_run_does_nothing(run: tuple[Path, Callable[..., str]]) -> None:
    assert NOTHING in run[1]()


def test_a_changed_setting_runs_only_what_depends_on_it(run: tuple[Path, Callable[..., str]]) -> None:
    folder, again = run
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    settings["models"]["sd15"]["methods"]["dde"]["train"] = {"beta": 100}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    output = again("--dry-run")
    planned = jobs(output)
    assert planned["train"] == 1
    assert "run=dde, seed=10" in output
    assert "run=uniform" not in output
    assert planned["table"] == 2  # not that of the other model
