"""`ddecli train` as it is typed: settings, and input that cannot be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from cli_checks import assert_one_sentence

if TYPE_CHECKING:
    from conftest import Typed


def test_dry_run_prints_settings_that_can_be_run(ddecli: Callable[..., Typed], tmp_path: Path) -> None:
    typed = ddecli("train", "--loss", "uniform", "--beta", 70, "--dry-run")
    assert typed.code == 0
    settings = yaml.safe_load(typed.out)
    assert settings["beta"] == 70 and settings["model"] == "tiny" and settings["out"] == "runs/tiny-uniform"
    (tmp_path / "again.yaml").write_text(typed.out)
    again = ddecli("train", "--config", "again.yaml", "--dry-run")
    assert again.out == typed.out
    changed = ddecli("train", "--config", "again.yaml", "--beta", 8, "--dry-run")
    assert yaml.safe_load(changed.out)["beta"] == 8
    assert list(tmp_path.iterdir()) == [tmp_path / "again.yaml"]


def test_a_run_from_the_command_line(ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path) -> None:
    arguments = [
        "train",
        "--model",
        sd_folder,
        "--data",
        sd_store,
        "--steps",
        2,
        "--batch-size",
        4,
        "--device",
        "cpu",
    ]
    typed = ddecli(*arguments, "--out", "run", "--json")
    assert typed.code == 0
    assert json.loads(typed.out)["first_loss"] == pytest.approx(0.693147, abs=1e-6)
    typed = ddecli(*arguments, "--out", "run")
    assert typed.code == 2 and "finished run" in typed.error
    typed = ddecli(*arguments, "--out", "run", "--resume")
    assert typed.code == 0


def test_estimate_keeps_nothing(
    ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path, tmp_path: Path
) -> None:
    typed = ddecli(
        "train",
        "--model",
        sd_folder,
        "--data",
        sd_store,
        "--batch-size",
        4,
        "--device",
        "cpu",
        "--estimate",
        "--json",
    )
    assert typed.code == 0
    found = json.loads(typed.out)
    assert found["seconds_per_step"] > 0 and 0 < found["reference_share"] < 1
    assert not (tmp_path / "runs").exists()


BAD = [
    (["--model", "no-such-model"], "no-such-model"),
    (["--model", "sd15", "--loss", "dde"], "--data"),
    (["--loss", "dpo2"], "dpo2"),
    (["--segment", "0.4-0.3"], "0.4-0.3"),
    (["--segment", "middle"], "middle"),
    (["--batch-size", "0"], "batch-size"),
    (["--lr", "-1"], "lr"),
    (["--lr", "nan"], "lr"),
    (["--beta", "0"], "beta"),
    (["--precision", "int8"], "precision"),
    (["--device", "cuda"], "cuda"),
    (["--config", "none.yaml"], "none.yaml"),
    (["--steps", "many"], "--steps"),
]


@pytest.mark.parametrize(("options", "named"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_bad_options_are_said_in_one_sentence(
    ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path, options: list[str], named: str
) -> None:
    given = options if "--model" in options else ["--model", str(sd_folder), *options]
    data = [] if "sd15" in options else ["--data", str(sd_store)]
    typed = ddecli("train", *given, *data, "--out", "run")
    assert typed.code == 2
    assert named in typed.error
    assert "Traceback" not in typed.error
    assert not Path("run/model").exists()


def test_unknown_settings_in_a_config_are_named(ddecli: Callable[..., Typed], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("betta: 3\n")
    typed = ddecli("train", "--config", "config.yaml", "--dry-run")
    assert typed.code == 2
    assert "betta" in typed.error


def test_no_store_and_a_place_that_cannot_be_written(
    ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path, tmp_path: Path
) -> None:
    typed = ddecli("train", "--model", sd_folder, "--data", "nowhere", "--out", "run1", "--device", "cpu")
    assert typed.code == 2 and "nowhere" in typed.error
    (tmp_path / "file").write_text("")
    typed = ddecli("train", "--model", sd_folder, "--data", sd_store, "--out", "file/run", "--device", "cpu")
    assert typed.code == 2 and "Cannot write" in typed.error


def test_without_data_it_says_how_to_finish_pairs_that_are_not_whole(
    ddecli: Callable[..., Typed], world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("train", "--model", world_folder, "--out", "run", "--device", "cpu")
    store = Path("pairs", f"world-{world_folder.name}")
    command = f"ddecli prepare --model {world_folder} --out {store}"
    store.mkdir(parents=True)
    (store / "latents-00000.safetensors").write_bytes(b"a copy that was stopped")
    assert_one_sentence(ddecli(*arguments), command, f"{store} exists and is no pair store", "remove it")
    (store / "latents-00000.safetensors").unlink()

    with monkeypatch.context() as patch:
        patch.setattr("ddecli.data.job.Job.publish", stop)
        assert ddecli("prepare", "--model", world_folder, "--out", store, "--limit", 2).code == 130
    said = f"{store}.parts holds parts made with other settings"
    assert_one_sentence(ddecli(*arguments), command, said, "remove that folder")
    typed = ddecli(*arguments, "--data", store)
    assert_one_sentence(typed, f"{store} is not finished", "when it is run again", f"{store}.parts")


def stop(*_: object) -> None:
    raise KeyboardInterrupt
