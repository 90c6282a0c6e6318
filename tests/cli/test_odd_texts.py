"""Markup, control characters and names that are not UTF-8, in prompts, paths and labels: shown as they are."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_checks import assert_one_sentence
from markdown_it import MarkdownIt
from pair_data import png, write_folder
from run_folders import write_run
from score_sets import score_set, write

PARSER = MarkdownIt("gfm-like", {"linkify": False})
Run = Callable[..., Any]
MARKUP = "[masterpiece], [/b] [red]x[/red] :smile: [link file:x]y[/link]"
ESC = "\x1b]0;owned\x07\x1b[31mred\x9b0m"
LINK = "[l](javascript:alert(1))"
LATIN = b"caf\xe9".decode(errors="surrogateescape")


def unseen(text: str) -> set[str]:
    return {letter for letter in text if ord(letter) < 32 or 127 <= ord(letter) < 160} - {"\n", "\t"}


@pytest.fixture
def scores(tmp_path: Path) -> Callable[..., str]:
    rng = np.random.default_rng(0)

    def make(name: str) -> str:
        write(score_set(name, {"clip": rng.random((4, 2)), "hps": rng.random((4, 2))}), Path(name))
        return name

    return make


@pytest.mark.parametrize("label", [MARKUP, ESC, LINK, "two\nlines\u2028and more"])
def test_labels_of_a_table(ddecli: Run, scores: Callable[..., str], label: str) -> None:
    rows = (f"BASE={scores('a')}", f"{label}={scores('b')}")
    typed = ddecli("table", 2, *rows, "--out", "t")
    assert typed.code == 0, typed.error
    shown = label.replace(ESC, r"\x1b]0;owned\x07\x1b[31mred\x9b0m").replace("\n", " ").replace("\u2028", " ")
    markdown = Path("t.md").read_text()
    tokens = [inner for token in PARSER.parse(markdown) for inner in token.children or ()]
    assert not {token.type for token in tokens} - {"text", "text_special", "strong_open", "strong_close"}
    cells = [token for token in PARSER.parse(markdown) if token.type == "inline"]
    assert shown in ["".join(inner.content for inner in cell.children or ()) for cell in cells]
    with Path("t.csv").open(newline="") as file:
        assert shown in [row["label"] for row in csv.DictReader(file)]
    for written in (markdown, Path("t.csv").read_text(), Path("t.tex").read_text(), typed.out, typed.error):
        assert not unseen(written)
    for line in Path("t.tex").read_text().split("\\midrule")[1].split("\\bottomrule")[0].strip().splitlines():
        assert line.endswith(r"\\")
    printed = ddecli("table", 2, *rows)
    assert printed.out == markdown
    answer = ddecli("table", 2, *rows, "--json")
    assert not unseen(answer.out) and [row["label"] for row in json.loads(answer.out)["rows"]] == [
        "BASE",
        label,
    ]


def test_a_table_for_the_terminal(
    ddecli: Run, scores: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    typed = ddecli("table", 2, f"{MARKUP}={scores('a')}", f"{ESC}={scores('b')}")
    assert typed.code == 0, typed.error
    assert MARKUP in typed.out and r"\x1b]0;owned" in typed.out
    assert not any(code in typed.out for code in ("\x1b]", "\x07", "\x1b[31m", "\x9b"))


@pytest.mark.parametrize("prompt", [MARKUP, ESC + LINK])
def test_prompts_in_the_table_of_scores(ddecli: Run, monkeypatch: pytest.MonkeyPatch, prompt: str) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    Path("0 [b].png").write_bytes(png(0))
    words = (
        "score",
        "0 [b].png",
        "--prompt",
        prompt,
        "--metric",
        "clip",
        "--family",
        "tiny",
        "--device",
        "cpu",
    )
    typed = ddecli(*words)
    assert typed.code == 0, typed.error
    printed = "".join(typed.out.split())
    assert "0[b].png" in printed and not unseen(typed.out + typed.error)
    assert ("[masterpiece]" in printed and "[/b]" in printed and ":smile:" in printed) or r"\x1b]0" in printed
    answer = ddecli(*words, "--json")
    assert json.loads(answer.out)["images"][0]["prompt"] == prompt and not unseen(answer.out)


@pytest.mark.parametrize("name", ["runs/[/b]", "runs/[masterpiece]", f"runs/{ESC.replace('/', '')}"])
def test_paths_in_messages(ddecli: Run, sd_folder: Path, sd_store: Path, name: str) -> None:
    words = (
        "train",
        "--model",
        sd_folder,
        "--data",
        sd_store,
        "--device",
        "cpu",
        "--batch-size",
        2,
        "--out",
        name,
    )
    typed = ddecli(*words, "--steps", 1)
    assert typed.code == 0, typed.error
    shown = name.replace(ESC, r"\x1b]0;owned\x07\x1b[31mred\x9b0m")
    assert "".join(shown.split()) in "".join(typed.out.split()).replace("│", "")
    assert not unseen(typed.out + typed.error)
    again = ddecli(*words, "--steps", 1)
    assert_one_sentence(again, shown, "holds a finished run")
    damaged = Path(name, "checkpoints", "step-000001", "optimizer.pt")
    damaged.write_bytes(b"")
    passed = ddecli(*words, "--steps", 2, "--resume")
    assert_one_sentence(passed, "Every checkpoint in", shown)
    assert not unseen(passed.error)


def test_wrong_words_are_shown_harmlessly(ddecli: Run) -> None:
    for words in (("train", f"--{ESC}"), (ESC,), ("train", "--model", ESC), ("score", ESC), ("figure", ESC)):
        typed = ddecli(*words)
        assert_one_sentence(typed)
        assert not unseen(typed.error)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--model", LATIN),
        ("sample", "tiny", "--prompt", LATIN),
        ("score", f"{LATIN}.png", "--prompt", "a"),
        ("prepare", "--data", LATIN),
        ("table", "2", f"{LATIN}=a"),
        ("report", f"{LATIN}.yaml", "--out", "out"),
        ("figure", "coefficients", "--title", LATIN, "--out", "out"),
    ],
    ids=lambda words: words[0],
)
def test_an_argument_that_is_not_utf8(ddecli: Run, words: tuple[str, ...]) -> None:
    Path(f"{LATIN}.png").write_bytes(png(0))
    assert_one_sentence(ddecli(*words), r"The argument", r"caf\xe9", "is not UTF-8")


def test_an_argument_that_is_not_utf8_typed_in_a_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ddecli", "train", "--model", b"caf\xe9"], capture_output=True, timeout=60
    )
    assert (
        done.returncode == 2 and rb"caf\xe9 is not UTF-8" in done.stderr and b"Traceback" not in done.stderr
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_lacks_letters(ddecli: Run, scores: Callable[..., str], encoding: str) -> None:
    words = ("table", "2", f"BASE={scores('a')}", f"猫={scores('b')}")
    done = subprocess.run(
        [sys.executable, "-m", "ddecli", *words],
        capture_output=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u732b" in done.stdout


def test_pictures_whose_names_are_not_utf8(ddecli: Run, sd_folder: Path) -> None:
    """The names are only names: the pictures are prepared, scored and classified."""
    folder = Path("pairs")
    for side, number in (("w", 0), ("l", 10)):
        (folder / side).mkdir(parents=True)
        for each in range(2):
            (folder / side / f"{LATIN}{each}.png").write_bytes(png(number + each))
            (folder / side / f"{LATIN}{each}.txt").write_text("a")
    typed = ddecli("prepare", "--model", sd_folder, "--data", folder, "--out", "store")
    assert typed.code == 0, typed.error
    (folder / "w" / f"{LATIN}9.png").write_bytes(b"none")
    bad = ddecli("prepare", "--model", sd_folder, "--data", folder, "--out", "other")
    assert_one_sentence(bad, "rows are bad")
    (row,) = map(json.loads, Path("other.bad-rows.jsonl").read_text().splitlines())
    assert row["row"] == f"{LATIN}9"
    (folder / "w" / f"{LATIN}9.txt").write_text("a")
    scored = ddecli("score", folder / "w", "--metric", "clip", "--family", "tiny", "--device", "cpu")
    assert scored.code == 0, scored.error
    (skipped,) = map(json.loads, (folder / "w" / "scores-skipped.jsonl").read_text().splitlines())
    assert skipped["file"].endswith(f"{LATIN}9.png")
    (folder / "w" / f"{LATIN}9.png").unlink()
    done = ddecli("inception", folder / "w", "--classifier", "tiny", "--splits", 1, "--device", "cpu")
    assert done.code == 0, done.error


HALF = '{"prompt": "caf\\udce9", "chosen": "0.png", "rejected": "1.png", "file_name": "0.png"}'


def test_half_of_a_character_is_no_text(ddecli: Run, sd_folder: Path) -> None:
    folder = write_folder(Path("data"), [], 2)
    (folder / "metadata.jsonl").write_text(HALF)
    typed = ddecli("prepare", "--model", sd_folder, "--data", folder, "--out", "store")
    assert_one_sentence(typed, "the commonest reason is: prompt is no Unicode text")
    assert_one_sentence(ddecli("score", folder, "--family", "tiny"), "prompt is no Unicode text")
    Path("prompts.jsonl").write_text(HALF)
    assert_one_sentence(ddecli("sample", sd_folder, "--prompts", "prompts.jsonl"), "prompt 1", r"caf\xe9")


def test_labels_of_a_figure(ddecli: Run) -> None:
    write_run(Path("run"), np.ones((3, 50)), np.ones((3, 50)))
    typed = ddecli(
        "figure", "credit", f"{ESC}$x^{{$ [b]=run", "--title", f"{ESC} $\\frac$", "--out", "credit"
    )
    assert typed.code == 0, typed.error
    assert not unseen(typed.error + Path("credit.json").read_text())
    assert "Glyph" not in typed.error
