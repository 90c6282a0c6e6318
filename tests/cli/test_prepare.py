"""`ddecli prepare` as it is typed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence
from pair_data import png, write_folder

from ddecli.data.store import PairStore

Run = Callable[..., Any]


def row(prompt: str, chosen: str = "0.png", rejected: str = "1.png") -> dict[str, object]:
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_a_folder_of_pictures(ddecli: Run, sd_folder: Path) -> None:
    rows = [row("a"), row("b", "2.png"), row("b", "2.png"), row("c", "0.png", "0.png")]
    rows += [row("ein Fuchs im Schnee, 狐, лиса, 🦊"), row("word " * 2000)]
    write_folder(Path("data"), rows, 3)
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert summary["out"] == "pairs/data-random-sd"
    assert (summary["rows"], summary["pairs"], summary["images"], summary["prompts"]) == (6, 4, 3, 5)
    assert summary["dropped"] == {
        "duplicate of another pair": 1,
        "chosen and rejected are the same picture": 1,
    }
    assert summary["long_prompts"] == 2
    store = PairStore.open(Path("pairs/data-random-sd"))
    assert store.pair(2).prompt == "ein Fuchs im Schnee, 狐, лиса, 🦊"
    assert store.manifest["source"] == str(Path("data").resolve())

    typed = ddecli("prepare", "--model", sd_folder, "--data", "data")
    assert (typed.code, "is complete" in typed.error) == (0, True)

    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--overwrite")
    assert "2 are longer than the text encoder takes" in typed.out

    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--overwrite", "--limit", 1)
    assert typed.code == 0
    assert "1 of 1 rows" in typed.out


def test_the_libraries_do_not_print_each_long_prompt(ddecli: Run, sd_folder: Path) -> None:
    said: list[str] = []
    loggers = [logging.getLogger(name) for name in ("transformers", "diffusers")]
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    levels = [logger.level for logger in loggers]
    write_folder(Path("data"), [row("word " * 2000)], 2)
    try:
        for logger in loggers:
            logger.setLevel(logging.WARNING)
            logger.addHandler(handler)
        typed = ddecli("prepare", "--model", sd_folder, "--data", "data")
        assert "1 are longer than the text encoder takes" in typed.out, typed.error
        assert not said
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


def test_pairs_of_the_world(ddecli: Run, world_folder: Path, sd_folder: Path) -> None:
    typed = ddecli("prepare", "--model", world_folder, "--limit", 12, "--json")
    assert typed.code == 0, typed.error
    summary = json.loads(typed.out)
    assert summary["rows"] == 12
    assert summary["pairs"] + sum(summary["dropped"].values()) == 12
    assert len(PairStore.open(Path("pairs/world-random-world"))) == summary["pairs"]
    assert_one_sentence(ddecli("prepare", "--model", sd_folder), "Give --data")


def test_a_store_is_not_prepared_again(ddecli: Run, sd_store: Path, sdxl_folder: Path) -> None:
    for data in (sd_store, sd_store / "pairs.parquet"):
        typed = ddecli("prepare", "--model", sdxl_folder, "--data", data, "--out", "store")
        assert_one_sentence(
            typed, f"{sd_store} is a pair store, prepared already for the model", "train --data", "(world)"
        )
    assert not Path("store").exists()


def test_too_many_bad_rows(ddecli: Run, sd_folder: Path) -> None:
    write_folder(Path("data"), [row("a"), row("b", "none.png"), row("c", "cut.png"), row("d", "none.png")], 2)
    Path("data/cut.png").write_bytes(png(5)[:200])
    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "store")
    assert typed.code == 2
    assert "3 of 4 rows are bad, 75.0% where --max-bad allows 1.0%" in typed.error
    assert "commonest reason is: missing image" in typed.error
    assert not Path("store").exists()
    listed = [json.loads(line) for line in Path("store.bad-rows.jsonl").read_text().splitlines()]
    assert [bad["row"] for bad in listed] == [f"metadata.jsonl:{line}" for line in (2, 3, 4)]

    typed = ddecli("prepare", "--model", sd_folder, "--data", "data", "--out", "store", "--max-bad", 0.75)
    assert typed.code == 0, typed.error
    assert Path("store/bad-rows.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "no-such-model", "--data", "data"), "Unknown model 'no-such-model'"),
        (("--data", "no-such-folder"), "no-such-folder does not exist"),
        (("--data", "data", "--columns", "prompt:caption"), "canonical=actual"),
        (("--data", "data", "--columns", "prompt=caption"), "has no column 'caption'"),
        (("--data", "data", "--out", "data"), "data exists and is no pair store"),
        (("--data", "data", "--out", "data/0.png/store"), "Cannot write data/0.png/store"),
        (("--data", "data", "--max-bad", "2"), "less than or equal to 1"),
        (("--model", "sd15"), "Give --data"),
    ],
)
def test_wrong_input_ends_in_one_sentence(
    ddecli: Run, sd_folder: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    write_folder(Path("data"), [row("a")], 2)
    named = () if "--model" in arguments else ("--model", sd_folder)
    typed = ddecli("prepare", *named, *arguments)
    assert typed.code == 2
    assert sentence in typed.error
    assert "Traceback" not in typed.error
    assert not Path("pairs").exists()  # found out before any work was done
