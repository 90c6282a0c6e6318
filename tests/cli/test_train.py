"""`ddecli train` as it is typed: settings, and input that cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from cli_checks import assert_one_sentence, contents

from ddecli.core.files import make_folder, sha256_text, write_json, write_text
from ddecli.objectives.base import Objective, ObjectiveOutput, PairErrors
from ddecli.training.kept import of_settings
from ddecli.training.settings import TrainSettings, resolve_settings

if TYPE_CHECKING:
    from conftest import Typed


def test_dry_run_prints_settings_that_can_be_run(ddecli: Callable[..., Typed], tmp_path: Path) -> None:
    typed = ddecli("train", "--loss", "uniform", "--beta", 70, "--dry-run")
    assert typed.code == 0
    settings = yaml.safe_load(typed.out)
    assert settings["beta"] == 70 and settings["model"] == "tiny" and settings["out"] == "runs/tiny-uniform"
    (tmp_path / "again.yaml").write_text(typed.out)
    again = ddecli("train", "--config", "again.yaml", "--dry-run")
    assert yaml.safe_load(again.out) == settings
    changed = ddecli("train", "--config", "again.yaml", "--beta", 8, "--dry-run")
    assert yaml.safe_load(changed.out)["beta"] == 8
    assert list(tmp_path.iterdir()) == [tmp_path / "again.yaml"]


def origins(typed: Typed) -> dict[str, str]:
    """What a dry run says of the values' origins, by setting."""
    lines = [line for line in typed.out.splitlines() if line.strip() and "# " in line]
    return {line.split(":")[0]: line.rpartition("# ")[2] for line in lines}


def test_a_dry_run_says_where_each_value_comes_from(ddecli: Callable[..., Typed]) -> None:
    Path("my.yaml").write_text("warmup: 3\nlora: 4\nseed: 1\n")
    typed = ddecli(
        "train", "--model", "sd15", "--config", "my.yaml", "--seed", 2, "--no-compile", "--dry-run"
    )
    found = origins(typed)
    assert list(found) == list(yaml.safe_load(typed.out)) == list(TrainSettings.model_fields)
    assert {name for name, origin in found.items() if origin == "option"} == {"model", "seed", "compile"}
    assert {name for name, origin in found.items() if origin == "--config my.yaml"} == {"warmup", "lora"}
    by_recipe = {"steps", "batch_size", "lr", "optimizer", "correction_bins"}
    assert {name for name, origin in found.items() if origin == "recipe sd15/lora"} == by_recipe
    assert {name for name, origin in found.items() if origin == "loss dde"} == {"error", "beta"}
    others = {"default", "default: measured before the first step"}
    assert set(found.values()) == {"option", "--config my.yaml", "recipe sd15/lora", "loss dde"} | others
    assert found["out"] == found["gamma"] == "default" and found["micro_batch_size"] in others - {"default"}
    whole = origins(ddecli("train", "--model", "sdxl", "--loss", "sft", "--dry-run"))
    assert whole["gradient_checkpointing"] == "recipe sdxl/full" and whole["beta"] == "default"
    assert origins(ddecli("train", "--out", "a", "--dry-run"))["out"] == "option"
    tiny = origins(ddecli("train", "--dry-run"))
    assert (tiny["beta"], tiny["micro_batch_size"]) == ("recipe tiny", "default")


def test_what_a_dry_run_prints_can_be_read_whatever_stands_in_it(ddecli: Callable[..., Typed]) -> None:
    odd = "it's # a: \u2028 'file'\n- \x1b[1m é " + "long " * 20
    Path(odd).write_text("max_winner_error: .inf\n")
    typed = ddecli("train", "--config", odd, "--data", odd, "--out", odd, "--dry-run")
    assert typed.code == 0 and "\x1b" not in typed.out
    Path("again.yaml").write_text(typed.out)
    settings = yaml.safe_load(typed.out)
    assert settings["data"] == settings["out"] == odd and settings["max_winner_error"] == float("inf")
    again = ddecli("train", "--config", "again.yaml", "--dry-run")
    assert yaml.safe_load(again.out) == settings
    assert set(origins(again).values()) == {"--config again.yaml"}


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


def stopped_before_its_model(ddecli: Callable[..., Typed], arguments: tuple[object, ...]) -> None:
    """A longer run that was stopped between its last checkpoint and its model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ddecli.training.run_record.write_card", stop)
        assert ddecli(*arguments, "--steps", 3, "--resume").code == 130


def test_a_finished_run_is_left_as_it_is_and_goes_on_to_more_steps_alone(
    ddecli: Callable[..., Typed], sd_folder: Path, sd_store: Path
) -> None:
    arguments = ("train", "--model", sd_folder, "--data", sd_store, "--batch-size", 4, "--out", "run")
    arguments += ("--checkpoint-every", 1, "--device", "cpu")
    assert ddecli(*arguments, "--steps", 2).code == 0
    before = contents("run")
    for go_on in ("--resume", "--overwrite"):
        typed = ddecli(*arguments, "--steps", 2, go_on, "--json")
        assert typed.code == 0 and "run is finished: its 2 steps are done" in typed.error
        assert json.loads(typed.out)["pairs_per_second"] is None
        assert contents("run") == before
    fewer = ddecli(*arguments, "--steps", 1, "--resume")
    assert_one_sentence(fewer, "run has done 2 steps already", "--steps 1", "--overwrite")
    assert contents("run") == before

    stopped_before_its_model(ddecli, arguments)
    speed = json.loads(Path("run/perf.json").read_text())["pairs_per_second"]
    assert ddecli(*arguments, "--steps", 3, "--resume").code == 0
    assert "| steps | 3 |" in Path("run/model/README.md").read_text()
    assert json.loads(Path("run/perf.json").read_text())["pairs_per_second"] == speed > 0
    Path("run/perf.json").unlink()
    assert ddecli(*arguments, "--steps", 3, "--resume").code == 0
    assert not {"pairs_per_second", "seconds"} & set(json.loads(Path("run/perf.json").read_text()))

    shutil.rmtree("run/checkpoints")
    before = contents("run")
    assert ddecli(*arguments, "--steps", 3, "--resume").code == 0
    assert_one_sentence(ddecli(*arguments, "--steps", 4, "--resume"), "3 steps without its checkpoints")
    assert contents("run") == before


class Hinge(Objective):
    """A loss of pairs that is no `-log sigmoid(z)`: relu(0.1 + D)."""

    def __call__(self, errors: PairErrors) -> ObjectiveOutput:
        return ObjectiveOutput((0.1 + errors.margin).relu(), None, (errors.margin > -0.1).float().detach())


def test_a_loss_of_pairs_without_a_logit_is_told_from_one_without_pairs(
    ddecli: Callable[..., Typed], monkeypatch: pytest.MonkeyPatch, sd_folder: Path, sd_store: Path
) -> None:
    arguments = ("train", "--model", sd_folder, "--data", sd_store, "--batch-size", 4, "--steps", 3)
    assert ddecli(*arguments, "--loss", "sft", "--out", "winners", "--device", "cpu").code == 0
    monkeypatch.setattr("ddecli.training.opened.build_objective", lambda **_: Hinge())
    assert ddecli(*arguments, "--loss", "uniform", "--out", "hinge", "--device", "cpu").code == 0
    first, *_, last = map(json.loads, Path("hinge/metrics.jsonl").read_text().splitlines())
    assert first["loss"] == pytest.approx(0.1) and first["margin"] == 0 and first["implicit_accuracy"] == 0.5
    assert last["margin"] != 0 and last["logit"] is None
    drawn = ddecli("figure", "curves", "A=hinge", "--out", "curves")
    assert drawn.code == 0 and json.loads(Path("curves.json").read_text())["curves"]["A"]["margin"]
    for run, why in (("hinge", "is no -log sigmoid of one"), ("winners", "compares no pairs")):
        assert_one_sentence(ddecli("figure", "log-sigmoid", f"A={run}", "--out", "z"), f"{run} has no", why)


def test_a_dry_run_says_what_is_kept_and_stays_settings(ddecli: Callable[..., Typed]) -> None:
    given: dict[str, Any] = {"data": "store", "batch_size": 4, "steps": 3}
    dry = [each for name, value in given.items() for each in (f"--{name.replace('_', '-')}", value)]
    settings = resolve_settings(given)
    key = of_settings(settings) | {"pairs_sha256": sha256_text("{}"), "model_sha256": "of the base"}
    write_text(make_folder(Path("store")) / "manifest.json", "{}")
    assert ddecli("train", *dry, "--dry-run").error == ""
    kept = make_folder(Path("store-reference/0123"))
    write_json(kept / "key.json", key | {"micro_batch": [4, settings.micro_batch_size]})
    (kept / "0000000000-0000000008-0123.npy").touch()
    typed = ddecli("train", *dry, "--dry-run")
    assert typed.code == 0
    assert typed.error == (
        "Of the reference's errors on 12 draws 8 are kept in store-reference and will be read, 4 will be computed.\n"
    )
    assert yaml.safe_load(typed.out)["steps"] == 3


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
        "--seed",
        977,  # of which no other test keeps errors
        "--estimate",
        "--json",
    )
    assert typed.code == 0
    found = json.loads(typed.out)
    assert found["draws_read"] == 0 and found["draws_computed"] % 4 == 0 < found["draws_computed"]
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
    (["--size-condition", "each"], "'target' or 'own'"),
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


def test_without_data_the_worlds_pairs_are_prepared_as_by_the_command(
    ddecli: Callable[..., Typed], world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ddecli.tinyworld.store.WORLD_PAIRS", 12)
    arguments = ("train", "--model", world_folder, "--steps", 1, "--batch-size", 2, "--device", "cpu")
    typed = ddecli(*arguments, "--out", "run", "--json")
    assert typed.code == 0 and json.loads(typed.out)["steps"] == 1  # and nothing else, for programs
    assert "world: pairs of the built-in world, 12 rows" in typed.error
    store = Path("pairs", f"world-{world_folder.name}")
    made = contents(store)
    shutil.rmtree(store)
    typed = ddecli(*arguments, "--out", "again")
    assert typed.code == 0 and f"Pair store {store}" in typed.out
    assert "Pair store" not in ddecli(*arguments, "--out", "third").out  # it is there
    by_hand = ("prepare", "--model", world_folder, "--out", "by-hand", "--limit", 12, "--device", "cpu")
    assert ddecli(*by_hand).code == 0
    assert contents("by-hand").keys() == made.keys()
    assert all(contents("by-hand")[name] == made[name] for name in made if name != "manifest.json")


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
