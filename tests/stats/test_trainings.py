"""What is known of the trainings behind scored images."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ddecli.core.errors import UserError
from ddecli.stats.trainings import run_settings_in

LAST = {"model": "run/iteration-2", "loss": "spin", "seed": 1234567890123456789, "steps": 20, "beta": 80.0, "lr": 1e-5,
        "batch_size": 32}  # fmt: skip


def test_of_several_iterations_the_settings_are_those_of_the_whole(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(LAST))
    assert run_settings_in(tmp_path, complete=True) == LAST
    whole = LAST | {"model": "tiny", "seed": 30, "iterations": 3}
    (tmp_path / "self-play.yaml").write_text(yaml.safe_dump(whole))
    assert run_settings_in(tmp_path, complete=True) == LAST | {"model": "tiny", "seed": 30, "steps": 60}
    (tmp_path / "self-play.yaml").write_text(yaml.safe_dump(whole | {"iterations": "many"}))
    with pytest.raises(UserError, match="self-play.yaml is damaged"):
        run_settings_in(tmp_path)
