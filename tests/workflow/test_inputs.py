"""What a configuration's options name is an input: a change of it runs again what reads it, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import smoke
import yaml
from plans import ROOT, install_fake, jobs, planned, snakemake

from ddecli.workflow.inputs import READ, content, model_paths, named_path, read_paths
from ddecli.workflow.options import SET_BY_RULES, _parameters

NOTHING = "Nothing to be done"
Plan = Callable[[], set[str]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shrunken paper, whole, made by commands that do no work, one after the other."""
    folder = tmp_path_factory.mktemp("finished")
    smoke.make(folder / "smoke")
    install_fake(folder)
    (folder / "mine.yaml").write_text("gamma: 0.8\n")
    settings = yaml.safe_load((ROOT / "workflow" / "config" / "paper-smoke.yaml").read_text())
    settings["models"]["sd15"]["train"]["config"] = "mine.yaml"
    settings["models"]["sd15"]["prepare"]["exclude-prompts"] = "hpsv2=smoke/grid-prompts.txt"
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    found = snakemake(folder, "--cores", "1", "--configfile", folder / "config.yaml")
    assert found.returncode == 0, found.stdout[-4000:]
    return folder


@pytest.fixture
def plan(finished: Path) -> Plan:
    """The jobs that would be done now."""

    def again() -> set[str]:
        found = snakemake(finished, "--dry-run", "--configfile", finished / "config.yaml")
        assert found.returncode == 0, found.stdout[-4000:]
        return set() if NOTHING in found.stdout else planned(found.stdout)

    return again


@contextlib.contextmanager
def changed(file: Path, text: str | None, time: float | None = None) -> Iterator[None]:
    """A file with other content, or away, for as long as the block lasts; then as it was, to its times."""
    kept = file.with_name(file.name + ".kept") if file.parent.name != "pairs" else file.parent.parent / "kept"
    shutil.copy2(file, kept)
    folder_times = file.parent.stat()
    if text is None:
        file.unlink()
    else:
        file.write_bytes(kept.read_bytes() + text.encode())
        if time is not None:
            os.utime(file, (time, time))
    try:
        yield
    finally:
        shutil.copy2(kept, file)
        kept.unlink()
        os.utime(file.parent, ns=(folder_times.st_atime_ns, folder_times.st_mtime_ns))


def test_one_core_has_a_wall_time(finished: Path) -> None:
    file = finished / "paper" / "paper-smoke" / "manifest.json"
    manifest = json.loads(file.read_text())
    begun = (finished / "bin").stat().st_mtime
    assert 0 < manifest["wall_seconds"] <= file.stat().st_mtime - begun + 1
    assert manifest["jobs"]["train"]["count"] == 5


def test_a_finished_workflow_is_left_alone(plan: Plan) -> None:
    assert plan() == set()


def of(rule: str, found: set[str]) -> set[str]:
    return {job.removeprefix(f"{rule} ") for job in found if job.startswith(f"{rule} ")}


@pytest.mark.parametrize("time", [None, 1e9], ids=["newer", "older"])
def test_prompts(finished: Path, plan: Plan, time: float | None) -> None:
    with changed(finished / "smoke" / "prompts.txt", "a new prompt\n", time):
        found = plan()
    sampled = of("sample", found)
    assert {job.split()[0] for job in sampled} == {"sd15", "sdxl"}
    assert {job.split()[2] for job in sampled} == {"test"}
    assert len(sampled) == 4 + 2  # base, two methods and a segment; base and a method
    assert not of("prepare", found) | of("train", found) | of("inception", found)
    assert of("score", found) == {job.rpartition(" ")[0] for job in sampled}


def test_the_same_prompts_written_again(finished: Path, plan: Plan) -> None:
    with changed(finished / "smoke" / "prompts.txt", ""):
        assert plan() == set()


def test_prompts_of_the_grid_and_those_that_are_excluded(finished: Path, plan: Plan) -> None:
    with changed(finished / "smoke" / "grid-prompts.txt", "a new prompt\n"):
        found = plan()
    assert of("prepare", found) == {"sd15"}
    assert {job for job in of("sample", found) if job.startswith("sdxl")} >= {
        "sdxl base validation 1-of-1",
        "sdxl grid/dde-lr1e-05-beta2000/seed-0 validation 1-of-1",
    }


def test_a_pair_that_is_removed(finished: Path, plan: Plan) -> None:
    """The folder's own time tells nothing: what lies deeper does not change it, and this one is set back."""
    pictures = sorted((finished / "smoke" / "pairs").rglob("*.png"))
    times = pictures[0].parent.stat()
    with changed(pictures[0], None):
        os.utime(pictures[0].parent, ns=(times.st_atime_ns, times.st_mtime_ns))
        found = plan()
    assert of("prepare", found) == {"sd15", "sdxl"}
    assert len(of("train", found)) == 5


@pytest.mark.parametrize("file", ["smoke/sd15/unet/diffusion_pytorch_model.safetensors", "mine.yaml"])
def test_weights_and_settings_of_a_training(finished: Path, plan: Plan, file: str) -> None:
    with changed(finished / file, "# more\n"):
        found = plan()
    assert of("train", found) == {"sd15 uniform 10", "sd15 dde 10", "sd15 uniform-0-0.1 10"}
    assert not of("prepare", found)
    is_model = file.startswith("smoke")
    assert ("sd15 base test 1-of-1" in of("sample", found)) == is_model
    assert ("coefficients" in of("figure", found)) == is_model
    assert not {job for job in of("sample", found) if job.startswith("sdxl")}


def test_an_autoencoder_makes_pairs_anew(finished: Path, plan: Plan) -> None:
    with changed(finished / "smoke" / "sd15" / "vae" / "diffusion_pytorch_model.safetensors", "x"):
        assert of("prepare", plan()) == {"sd15"}


def test_what_is_not_loaded_does_not_count(finished: Path, plan: Plan) -> None:
    (finished / "smoke" / "sd15" / "README.md").write_text("A card.\n")
    (finished / "smoke" / "sd15" / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_text("twin")
    assert plan() == set()


def test_scorers_and_classifiers(finished: Path, plan: Plan) -> None:
    with changed(finished / "smoke" / "clip" / "config.json", "\n"):
        found = plan()
    assert len(of("score", found)) == 8
    assert of("train", found) == {"sdxl dde 10"}  # its beta is chosen by these scores
    assert not of("prepare", found) | of("inception", found)
    assert not {job for job in of("sample", found) if not job.startswith("sdxl dde/")}
    with changed(finished / "smoke" / "classifier" / "config.json", "\n"):
        found = plan()
    assert len(of("inception", found)) == 2
    assert not of("sample", found) | of("score", found)


def test_speed_and_memory_do_not_count(finished: Path, plan: Plan) -> None:
    settings = yaml.safe_load((finished / "config.yaml").read_text())
    model = settings["models"]["sd15"]
    model["train"] |= {"micro-batch-size": 4, "gradient-checkpointing": True, "checkpoint-every": 7}
    model["prepare"] |= {"batch-size": 3}
    model["sample"] |= {"batch-size": 3}
    model["score"] |= {"batch-size": 3}
    with changed(finished / "config.yaml", ""):
        (finished / "config.yaml").write_text(yaml.safe_dump(settings))
        assert plan() <= {"manifest", "all"}  # which tells the configuration
        found = snakemake(
            finished, "--dry-run", "-p", "--forcerun", "train", "--configfile", finished / "config.yaml"
        )
    assert "--checkpoint-every 7 --gradient-checkpointing --micro-batch-size 4" in found.stdout


def test_every_option_that_may_name_a_path_is_known() -> None:
    """Its help says so: a new one is put into READ, or among those that the rules give themselves."""
    for command, known in READ.items():
        for name, parameter in _parameters(command).items():
            text = f"{parameter.metavar or ''} {parameter.help or ''}".lower()
            takes_one = ("folder" in text or "file" in text) and not getattr(parameter, "is_flag", False)
            if takes_one and name not in SET_BY_RULES[command]:
                assert name in known | {"max-bad"}, f"{command} --{name}"


def test_names_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("world", "inception", "partiprompts", "tiny", "results/pairs", "copy", "clip=x"):
        Path(name).mkdir(parents=True)
    assert read_paths("prepare", {"data": "world", "split": "copy"}, "results") == []
    assert read_paths("inception", {"classifier": "inception"}, "results") == []
    assert read_paths("sample", {"prompts": "partiprompts"}, "results") == []
    assert read_paths("sample", {"prompts": "partiprompts=copy"}, "results") == ["copy"]
    assert read_paths("score", {"scorer": ["clip=copy", "hps=gone"]}, "results") == ["copy"]
    assert read_paths("train", {"holdout": "results/pairs"}, "results") == []
    assert model_paths("tiny") == []
    (tmp_path / "style.safetensors").touch()
    assert model_paths(f"tiny+{tmp_path / 'style.safetensors'}") == [str(tmp_path / "style.safetensors")]
    assert model_paths(f"tiny+{tmp_path / 'style.safetensors'}", ("vae",)) == []
    assert named_path("prompts", "world:test") is None


def test_content_of_folders(tmp_path: Path) -> None:
    def state() -> str:
        from ddecli.workflow import inputs

        inputs._state.cache_clear()
        return content([str(tmp_path / "a")])

    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "1.png").write_text("one")
    (deep / "loop").symlink_to(tmp_path / "a")
    first = state()
    assert state() == first
    os.utime(deep / "1.png", (1, 1))
    second = state()
    (deep / "1.png").rename(deep / "2.png")
    third = state()
    (tmp_path / "blob").write_text("of a cache")
    (deep / "1.png").symlink_to(tmp_path / "blob")
    fourth = state()
    (tmp_path / "blob").write_text("of a cache, another")
    assert len({first, second, third, fourth, state()}) == 5


def test_numbers_of_jobs(plan: Plan, finished: Path) -> None:
    """The whole plan again, by force, is as large as the first one."""
    found = snakemake(finished, "--dry-run", "--forceall", "--configfile", finished / "config.yaml")
    assert jobs(found.stdout)["train"] == 5
