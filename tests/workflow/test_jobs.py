"""What is left of jobs: their logs, also of attempts that failed, and the time they took."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import smoke
import yaml
from plans import ROOT, install_fake, snakemake

from ddecli.workflow.times import STARTED, job_times, wall_seconds

SCRIPT = ROOT / "workflow" / "scripts" / "jobs.sh"
SCORES = "results/paper-smoke/images/sd15/base/test/scores.parquet"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shrunken paper, with commands that do no work."""
    smoke.make(tmp_path / "smoke")
    install_fake(tmp_path)
    settings = yaml.safe_load((ROOT / "workflow" / "config" / "paper-smoke.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path


def test_why_a_job_failed_is_shown_and_a_retry_keeps_it(folder: Path) -> None:
    """Nothing is asked for: the default profile shows failed logs."""
    (folder / "FAILS").write_text("score 2")
    found = snakemake(folder, SCORES, "--retries", "1", "--configfile", folder / "config.yaml")
    assert found.returncode != 0
    assert "Error: the disk is full, time 2." in found.stdout
    assert "Error: the disk is full, time 1." in found.stdout
    logs = folder / "results" / "paper-smoke" / "logs" / "score" / "sd15" / "base"
    attempts = sorted(logs.glob("test.begun-*.log"), key=lambda file: file.stat().st_mtime)
    assert [file.read_text() for file in attempts] == [
        f"Error: the disk is full, time {count}.\n" for count in (2, 1)
    ]
    assert (logs / "test.log").read_text() == attempts[1].read_text()
    again = snakemake(folder, SCORES, "--configfile", folder / "config.yaml")
    assert again.returncode == 0, again.stdout[-4000:]
    assert (logs / "test.log").read_text().startswith("score: done") and not (logs / "test.log").is_symlink()
    assert sorted(logs.iterdir()) == sorted([*attempts, logs / "test.log"])


def shell(folder: Path, command: str) -> subprocess.Popen[bytes]:
    text = f'set -euo pipefail; . "{SCRIPT}"; {command}'
    return subprocess.Popen(["bash", "-c", text], cwd=folder, start_new_session=True)


def test_a_killed_attempt_keeps_its_log(tmp_path: Path) -> None:
    job = shell(tmp_path, "logged job.log bash -c 'echo step 1; sleep 60'")
    while not (tmp_path / "job.log").exists() or not (tmp_path / "job.log").read_text():
        time.sleep(0.05)
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    (tmp_path / "job.log").unlink()  # as snakemake does before it tries again
    assert shell(tmp_path, "logged job.log echo done").wait() == 0
    assert (tmp_path / "job.log").read_text() == "done\n"
    (kept,) = tmp_path.glob("job.begun-*.log")
    assert kept.read_text() == "step 1\n"


def test_the_exit_code_and_the_output_are_the_commands(tmp_path: Path) -> None:
    assert shell(tmp_path, "logged job.log bash -c 'echo no >&2; exit 3'").wait() == 3
    assert (tmp_path / "job.log").read_text() == "no\n"
    assert shell(tmp_path, "logged job.log into out.json bash -c 'echo {}; echo said >&2'").wait() == 0
    assert (tmp_path / "out.json").read_text() == "{}\n"
    assert (tmp_path / "job.log").read_text() == "said\n"


def benchmark(folder: Path, name: str, ended: float, seconds: float) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"s\th:m:s\n{seconds}\t0:00:00\n")
    os.utime(file, (ended, ended))


def test_wall_time_is_from_the_start_to_the_last_end(tmp_path: Path) -> None:
    """Jobs one after the other, with pauses between them: more than the sum of their times."""
    assert wall_seconds(job_times(tmp_path), tmp_path) is None
    for number in range(3):
        benchmark(tmp_path, f"train/{number}.tsv", 1010 + 10 * number, 6)
    benchmark(tmp_path, "score/0.tsv", 1025, 2)
    assert wall_seconds(job_times(tmp_path), tmp_path) is None  # made by a version that noted no start
    (tmp_path / STARTED).touch()
    os.utime(tmp_path / STARTED, (1001, 1001))
    assert wall_seconds(job_times(tmp_path), tmp_path) == 29
    assert sorted({job.kind for job in job_times(tmp_path)}) == ["score", "train"]
    os.utime(tmp_path / STARTED, (1005, 1005))  # the first job began before
    assert wall_seconds(job_times(tmp_path), tmp_path) is None
