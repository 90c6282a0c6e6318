"""The script that gives a job GPUs of its own, on a machine that says it has some."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "workflow" / "scripts" / "on_gpus.sh"


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    return kept | {"DDECLI_GPU_LOCKS": str(tmp_path / "locks"), "DDECLI_GPUS": "0 1 2"} | more


def start(count: int, command: str, **kwargs: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", str(SCRIPT), str(count), "bash", "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=kwargs,
    )


def test_no_gpu_is_claimed_where_none_is_asked_for(tmp_path: Path) -> None:
    job = start(0, "echo seen ${CUDA_VISIBLE_DEVICES:-none}", **environment(tmp_path))
    assert job.communicate()[0].strip() == "seen none"
    assert not (tmp_path / "locks").exists()


def test_a_cluster_has_decided_already(tmp_path: Path) -> None:
    job = start(1, "echo $CUDA_VISIBLE_DEVICES", **environment(tmp_path, CUDA_VISIBLE_DEVICES="7"))
    assert job.communicate()[0].strip() == "7"


def until(file: Path) -> str:
    """Say which GPUs there are, wait for a file (at most a minute), and say when that was."""
    wait = f"for i in $(seq 1200); do [ -e '{file}' ] && break; sleep 0.05; done"
    return f"echo $CUDA_VISIBLE_DEVICES; {wait}; date +%s.%N"


def said(job: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert job.stdout is not None
    return job.stdout.readline().strip()


def test_jobs_share_the_gpus_that_they_are_left(tmp_path: Path) -> None:
    env = environment(tmp_path, CUDA_VISIBLE_DEVICES="4,6")
    del env["DDECLI_GPUS"]
    both = [start(1, until(tmp_path / "go"), **env) for _ in range(2)]
    assert {said(job) for job in both} == {"4", "6"}
    (tmp_path / "go").touch()
    assert [(job.communicate(), job.returncode)[1] for job in both] == [0, 0]


def test_jobs_get_gpus_of_their_own_and_wait_for_them(tmp_path: Path) -> None:
    env = environment(tmp_path)
    first = start(2, until(tmp_path / "first"), **env)
    assert said(first) == "0,1"
    second = start(1, until(tmp_path / "second"), **env)
    assert said(second) == "2"
    third = start(2, "echo $CUDA_VISIBLE_DEVICES; date +%s.%N", **env)
    time.sleep(0.5)
    assert third.poll() is None
    (tmp_path / "first").touch()
    ended = float(first.communicate()[0])
    again, began = third.communicate()[0].split()
    assert again == "0,1" and float(began) >= ended
    (tmp_path / "second").touch()
    second.communicate()


def test_more_gpus_than_the_machine_has(tmp_path: Path) -> None:
    job = start(4, "echo never", **environment(tmp_path))
    out, error = job.communicate()
    assert job.returncode == 2
    assert out == ""
    assert "asks for 4 GPUs, there are 3" in error


@pytest.mark.parametrize("command", ["train", "prepare"])
def test_several_gpus_work_together_through_accelerate(tmp_path: Path, command: str) -> None:
    fake = tmp_path / "bin" / "accelerate"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho accelerate $@\n")
    fake.chmod(0o755)
    env = environment(tmp_path)
    env["PATH"] = f"{fake.parent}:{env['PATH']}"
    done = subprocess.run(
        ["bash", str(SCRIPT), "2", "ddecli", command, "--model", "x"], env=env, capture_output=True, text=True
    )
    assert done.stdout.split()[:5] == ["accelerate", "launch", "--multi_gpu", "--num_processes", "2"]
    assert done.stdout.strip().endswith(f"-m ddecli {command} --model x")


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_commands(tmp_path: Path, code: int) -> None:
    assert start(1, f"exit {code}", **environment(tmp_path)).wait() == code
