"""What every command does where nothing is asked for, and what it prints for people."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ddecli.cli import app, choose, figure, inception, prepare, report, sample, score, table, train, world
from ddecli.cli.score import _with_interval
from ddecli.cli.stores import print_store
from ddecli.core.errors import UserError
from ddecli.data.summary import PrepareSummary

DEFAULTS: dict[Callable[..., Any], dict[str, Any]] = {
    prepare.prepare: {
        "model": "tiny", "holdout": 0.0, "max_bad": 0.01, "latent_dtype": "auto",
        "precision": "float32", "device": "auto", "seed": 0,
    },
    train.train: {},  # of recipes.yaml and TrainSettings
    sample.sample: {"images_per_prompt": 8, "seed": 0, "device": "auto", "precision": "auto"},
    score.score: {"family": "auto", "batch_size": 32, "max_bad": 0.01, "device": "auto"},
    inception.inception: {"classifier": "auto", "splits": 10, "seed": 0, "batch_size": 64, "device": "auto"},
    choose.choose: {},
    table.table: {},
    report.report: {},
    figure.segments: {},
    figure.beat_ratios: {},
    figure.coefficients: {"model": "tiny"},
    figure.corrections: {},
    figure.log_sigmoid: {},
    figure.credit: {},
    figure.credit_steps: {},
    figure.curves: {},
    figure.images: {"prompts": 6, "image_index": 0},
    world.show: {"out": Path("world.png"), "seed": 0},
    world.build: {"scale": 1.0},
}  # fmt: skip


@pytest.mark.parametrize("command", DEFAULTS, ids=lambda command: command.__name__)
def test_every_switch_is_off_and_other_defaults_are_those_of_the_table(command: Callable[..., Any]) -> None:
    given = {name: option.default for name, option in inspect.signature(command).parameters.items()}
    given = {name: value for name, value in given.items() if value not in (inspect.Parameter.empty, None)}
    switches = {name for name, value in given.items() if isinstance(value, bool)}
    assert not any(given[name] for name in switches)
    assert {name: value for name, value in given.items() if name not in switches} == DEFAULTS[command]


def test_a_crash_shows_a_plain_traceback(
    ddecli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("ddecli.cli.table.parse_rows", broken)
    with pytest.raises(RuntimeError) as found:
        ddecli("table", "A=b")
    sys.excepthook(found.type, found.value, found.tb)
    said = capsys.readouterr().err
    assert said.startswith("Traceback (most recent call last)") and said.endswith("a fault of ours\n")


SUMMARY = PrepareSummary(
    out="pairs/x", rows=4321, pairs=4000, images=7000, prompts=1201, dropped={"tie": 20, "no text": 301},
    notes={"votes decide": 5}, upscaled_images=17, long_prompts=0, holdout=None, holdout_pairs=0, complete=True,
    bytes=12_345_678, seconds=8.0,
)  # fmt: skip


def lines(capsys: pytest.CaptureFixture[str], **changed: Any) -> list[str]:
    """The words of each row that is printed of a store."""
    print_store(PrepareSummary(**(vars(SUMMARY) | changed)))
    rows = [" ".join(row.replace("│", " ").split()) for row in capsys.readouterr().out.splitlines()]
    return [row for row in rows if any(map(str.isalnum, row))]


def test_what_is_said_of_a_store(capsys: pytest.CaptureFixture[str]) -> None:
    plain = [
        "Pair store pairs/x",
        "pairs 4,000 of 4,321 rows",
        "pictures 7,000, 17 of them enlarged",
        "prompts 1,201, the empty one among them",
        "dropped 301: no text",
        "dropped 20: tie",
        "noted 5: votes decide",
        "on disk 12.3 MB",
        "time 8.0 s, 500.0 pairs/s",
    ]
    assert lines(capsys) == plain
    more = lines(
        capsys, long_prompts=3, holdout="pairs/y", holdout_pairs=44, left_out={".heic": 2, ".mp4": 1}
    )
    assert [row for row in more if row not in plain] == [
        "3 are longer than the text encoder takes: their ends are cut",
        "left out 2 .heic, 1 .mp4",
        "held out 44 pairs, in pairs/y",
    ]
    (share,) = lines(capsys, complete=False)
    assert share.startswith(
        "pairs/x: this shard is done, 4,000 pairs of 4,321 rows; other shards are not finished."
    )


def test_numbers_with_intervals() -> None:
    assert _with_interval(0.25, None) == "0.2500"
    assert _with_interval(0.25, (0.125, 0.5)) == "0.2500 (0.1250 .. 0.5000)"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "a.bin"), "Error: a.bin: No space left on device."),
        (OSError(28, "No space left on device"), "Error: No space left on device."),
        (OSError("strange"), "Error: strange."),
        (UserError("Try it\notherwise."), "Error: Try it otherwise."),
    ],
)
def test_errors_of_the_system_end_in_one_sentence(
    ddecli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def broken(**_: Any) -> None:
        raise error

    monkeypatch.setattr(app, "app", broken)
    typed = ddecli("table")
    assert (typed.code, typed.out, typed.error) == (2, "", f"{said}\n")
    monkeypatch.setenv("DDECLI_DEBUG", "1")
    with pytest.raises(type(error)):
        ddecli("table")
