"""Every whole number of every command has an upper bound, and past it there is a sentence."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer
from cli_checks import assert_one_sentence
from diffusers import DDIMScheduler

from ddecli.cli.app import app
from ddecli.training.settings import TrainSettings

Run = Callable[..., Any]
LARGE = "99999999999999999999"
SOURCES: dict[str, tuple[str, ...]] = {
    "sample": ("{sd}", "--prompt", "a"),
    "score": ("x.png",),
    "inception": ("x",),
    "table": ("A=x",),
    "report": ("x.yaml", "--out", "out"),
    "choose": ("a", "b"),
}


def whole_numbers() -> Iterator[tuple[list[str], str, Any]]:
    """Each command, with each of its options that takes a whole number."""
    commands = [([str(each.name)], each.callback) for each in app.registered_commands]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        commands += [
            ([str(group.name), each.name or each.callback.__name__], each.callback)
            for each in group.typer_instance.registered_commands
            if each.callback is not None
        ]
    for words, callback in commands:
        assert callback is not None
        for name, hint in get_type_hints(callback, include_extras=True).items():
            if name == "return":
                continue
            kind, option = get_args(hint)[:2]
            kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
            if int in kinds and bool not in kinds:
                yield words, f"--{name.replace('_', '-')}", option


NUMBERS = list(whole_numbers())


def test_there_are_many() -> None:
    assert len(NUMBERS) >= 25
    assert ("train", "--lora") in [(words[0], option) for words, option, _ in NUMBERS]


@pytest.mark.parametrize(
    ("words", "option", "declared"),
    NUMBERS,
    ids=[f"{' '.join(words)} {option}" for words, option, _ in NUMBERS],
)
def test_a_number_of_twenty_digits_is_refused(
    ddecli: Run, sd_folder: Path, words: list[str], option: str, declared: typer.models.OptionInfo
) -> None:
    if words == ["train"]:  # its options are settings, with their bounds
        bounds = TrainSettings.model_fields[option[2:].replace("-", "_")].metadata
        assert any(hasattr(bound, "le") for bound in bounds)
    else:
        assert declared.max is not None and declared.min is not None
    given = [word.format(sd=sd_folder) for word in SOURCES.get(words[0], ())]
    for number in (LARGE, f"-{LARGE}", "9" * 5000):
        assert_one_sentence(ddecli(*words, *given, option, number), option)
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    "setting", [n for n, f in TrainSettings.model_fields.items() if "int" in str(f.annotation)]
)
def test_a_setting_of_twenty_digits_is_refused(ddecli: Run, setting: str) -> None:
    for number in (LARGE, f"-{LARGE}", "1e30", "0x" + "f" * 100):
        Path("config.yaml").write_text(f"{setting}: {number}\n")
        assert_one_sentence(
            ddecli("train", "--config", "config.yaml", "--dry-run"), setting.replace("_", "-")
        )


@pytest.mark.parametrize("shard", [f"1/{LARGE}", f"{LARGE}/{LARGE}", "1/" + "9" * 5000, "0/0", "٣/٤٤٤٤٤٤٤٤"])
@pytest.mark.parametrize("command", ["sample", "prepare", "inception"])
def test_shards_are_bounded_too(ddecli: Run, command: str, shard: str) -> None:
    words = {"sample": ("tiny", "--prompt", "a"), "inception": ("x",)}.get(command, ())
    assert_one_sentence(ddecli(command, *words, "--shard", shard), "--shard", "I/N")


def test_more_bins_than_timesteps(ddecli: Run, sd_folder: Path, sd_store: Path) -> None:
    Path("config.yaml").write_text("correction_bins: 1001\n")
    words = ("train", "--model", sd_folder, "--data", sd_store, "--config", "config.yaml", "--device", "cpu")
    assert_one_sentence(ddecli(*words, "--out", "run"), "correction_bins 1001", "1000 timesteps")


@pytest.mark.parametrize(("spacing", "most"), [("trailing", 50), ("leading", 49)])
def test_sampling_takes_as_many_steps_as_there_are_timesteps(
    ddecli: Run, sd_folder: Path, spacing: str, most: int
) -> None:
    """The most that works does, one more is refused; the offset of Stable Diffusion would lead past the schedule."""
    model = Path(shutil.copytree(sd_folder, "model"))
    file = model / "scheduler" / "scheduler_config.json"
    settings = json.loads(file.read_text()) | {"num_train_timesteps": 50, "steps_offset": 1}
    file.write_text(json.dumps(settings | {"timestep_spacing": spacing}))
    scheduler = DDIMScheduler.from_pretrained(model / "scheduler")
    scheduler.set_timesteps(most)
    assert scheduler.timesteps.max() == 49
    words = ("sample", model, "--prompt", "a", "--images-per-prompt", 1, "--device", "cpu")
    assert ddecli(*words, "--steps", most, "--out", "out").code == 0
    refused = ddecli(*words, "--steps", most + 1, "--out", "more")
    assert_one_sentence(refused, f"--steps {most + 1}", "50 timesteps", f"at most {most} steps")
    assert not Path("more").exists()


def test_more_images_than_can_be_listed(ddecli: Run, sd_folder: Path) -> None:
    Path("prompts.txt").write_text("\n".join(f"prompt {i}" for i in range(11)))
    words = (
        "sample",
        sd_folder,
        "--prompts",
        "prompts.txt",
        "--images-per-prompt",
        1_000_000,
        "--out",
        "out",
    )
    assert_one_sentence(ddecli(*words), "11,000,000 images", "--images-per-prompt")
    assert not Path("out").exists()
