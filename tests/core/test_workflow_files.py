"""`ddecli workflow init`: the workflow as a wheel carries it, written to a folder and planned there."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cli_checks import contents
from typer.testing import CliRunner

from ddecli.cli.app import app
from ddecli.core import workflow_files as files
from ddecli.core.errors import UserError
from ddecli.core.workflow_files import write_workflow

ROOT = Path(__file__).parents[2]


def test_the_copy_is_planned_where_it_lies(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    done = CliRunner().invoke(app, ["workflow", "init", str(folder)])
    assert done.exit_code == 0 and f"cd {folder} && snakemake --cores all" in done.output
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "--quiet", "rules"]
    planned = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr[-2000:]


def test_nothing_of_mine_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write_workflow(tmp_path)
    before = contents(tmp_path)
    assert before["notes.txt"] == b"mine"
    with pytest.raises(UserError, match="Snakefile exists: choose another folder"):
        write_workflow(tmp_path)
    assert contents(tmp_path) == before


def test_a_wheel_carries_what_is_written(tmp_path: Path) -> None:
    """Every part, by the table of what the wheel includes, and at its own place in it."""
    write_workflow(tmp_path)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert included == {name: f"ddecli/workflow/files/{name}" for name in included}
    written = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20 and all(name.startswith(tuple(included)) for name in written)
    assert not any(name.startswith("workflow/envs") or "__pycache__" in name for name in written)


def test_without_snakemake_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    app(["workflow", "init", str(tmp_path / "x")], standalone_mode=False)
    assert "pip install 'ddecli[workflow,report]'" in capsys.readouterr().out


def test_an_installation_without_files_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddecli.__file__", str(tmp_path / "ddecli" / "__init__.py"))
    with pytest.raises(UserError, match="has no workflow: install it again"):
        write_workflow(tmp_path / "x")
    assert not list(tmp_path.iterdir())
