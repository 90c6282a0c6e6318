"""Where the workflow runs: profiles, images, and what the catalog of workflows is told. No cluster is needed."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import smoke
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from plans import ROOT, SNAKEFILE, planned_rules, snakemake

import ddecli

PROFILES = sorted((ROOT / "workflow" / "profiles").glob("*/config.yaml"))
ENVS = ROOT / "workflow" / "envs"
SUBMITTED = {"prepare", "train", "sample", "score", "inception"}


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_every_profile_shows_why_a_job_failed(profile: Path) -> None:
    assert read(profile)["show-failed-logs"] is True


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.parent.name)
def test_no_profile_lets_snakemake_look_at_waiting_jobs_every_second(profile: Path) -> None:
    assert read(profile)["max-jobs-per-timespan"] == "1000/10s"


def test_the_default_profile_is_taken_by_itself_and_others_by_name(tmp_path: Path) -> None:
    smoke.make(tmp_path / "smoke")
    config = ROOT / "workflow" / "config" / "paper-smoke.yaml"
    found = snakemake(tmp_path, "--dry-run", "--configfile", config)
    assert f"workflow specific profile {SNAKEFILE.parent / 'profiles' / 'default'}" in found.stdout
    found = snakemake(tmp_path, "--dry-run", "--workflow-profile", "workstation", "--configfile", config)
    assert found.returncode == 0, found.stdout
    assert f"workflow specific profile {SNAKEFILE.parent / 'profiles' / 'workstation'}" in found.stdout


def test_a_cluster_gets_the_heavy_jobs_alone() -> None:
    """Dry runs do not show it: all other rules say that they are local."""
    rules = "\n".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    found = {text[: text.index(":")]: text for text in re.split(r"^rule ", rules, flags=re.MULTILINE)[1:]}
    with_work = {name for name, text in found.items() if "shell:" in text or "script:" in text}
    assert {name for name in with_work if "localrule: True" not in found[name]} == SUBMITTED
    assert {"figure", "table", "side_by_side", "report"} <= with_work


def test_all_gpus_of_a_job_are_on_one_node(tmp_path: Path) -> None:
    smoke.make(tmp_path / "smoke")
    settings = read(ROOT / "workflow" / "config" / "paper-smoke.yaml")
    settings["gpus"] = {"prepare": 8, "train": 8, "sample": 1, "score": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    found = snakemake(
        tmp_path,
        *("--dry-run", "--workflow-profile", "slurm", "--executor", "local"),
        *("--configfile", tmp_path / "config.yaml"),
    )
    assert found.returncode == 0, found.stdout
    heavy = [text for name, text in planned_rules(found.stdout) if name in ("prepare", "train")]
    assert len(heavy) == 2 + 5
    for text in heavy:
        assert "gpu=8, nodes=1" in text and "tasks_per_gpu=0" in text


def test_an_image_is_named_with_its_tag_and_holds_what_was_tested() -> None:
    job = read(ROOT / "workflow" / "profiles" / "kubernetes" / "job.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    name, tag = container["image"].split(":")
    version, build = tag.split("-")
    assert (name, version) == ("ddecli", ddecli.__version__)
    docker, apptainer = (ENVS / "Dockerfile").read_text(), (ENVS / "ddecli.def").read_text()
    assert f"ARG TORCH_BUILD={build}" in docker and f"torch_build={build}" in apptainer
    assert f"ddecli:{tag}" in docker
    bases = re.findall(r"^(?:FROM|From:) (.*)$", docker + apptainer, re.MULTILINE)
    assert len(bases) == 2 and len(set(bases)) == 1 and re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])


def test_what_the_recipes_copy_is_there_and_is_all_that_is_installed() -> None:
    needed = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Snakefile",
        "ddecli",
        "workflow",
        "benchmarks/results",
    }
    docker = re.findall(r"^COPY (.*) \S+$", (ENVS / "Dockerfile").read_text(), re.MULTILINE)
    assert {word for line in docker for word in line.split()} == needed
    section = (ENVS / "ddecli.def").read_text().split("%files")[1].split("%post")[0]
    assert {line.split()[0] for line in section.strip().splitlines()} == needed
    assert all((ROOT / name).exists() for name in needed)
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in sent and {line[1:] for line in sent if line.startswith("!")} == needed


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    lines = (ENVS / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    script = (ENVS / "install.sh").read_text()
    for name in ("torch", "torchvision"):
        found = re.search(rf'"{name}==([\d.]+)\+\$build"', script)
        assert found, name
        pinned[name] = found[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [*map(project["optional-dependencies"].get, ("inception", "report", "workflow"))]
    assert f".[{','.join(('inception', 'report', 'workflow'))}]" in script
    for text in sum(extras, project["dependencies"]):
        wanted = Requirement(text)
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), text


def test_the_versions_that_are_said_to_be_tested_are_pinned() -> None:
    said = re.search(
        r"Tested is Python 3\.11 with (.*?) \(all of them", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert said
    lines = (ENVS / "constraints.txt").read_text() + (ENVS / "install.sh").read_text()
    versions = re.findall(r"([a-z]+) (\d+\.\d+\.\d+)", said[1])
    assert len(versions) == 5 and all(f"{name}=={version}" in lines for name, version in versions)


def test_the_catalog_finds_what_it_asks_for() -> None:
    usage = read(ROOT / ".snakemake-workflow-catalog.yml")["usage"]
    assert usage["report"] is True and usage["software-stack-deployment"]["apptainer"] is True
    flag, file = usage["mandatory-flags"]["flags"].split()
    assert flag == "--configfile" and (ROOT / file).is_file()
    assert SNAKEFILE.is_file()
    text = (ROOT / "config" / "README.md").read_text()
    links = re.findall(r"\]\((\S+?)\)", text)
    assert links and all((ROOT / "config" / link).exists() for link in links)
