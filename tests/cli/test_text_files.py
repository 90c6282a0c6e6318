"""Tables and lists of prompts as people's programs write them, through the commands: the same text in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import tiny_models
from cli_checks import assert_one_sentence
from pair_data import png

from ddecli.core.protocol import prompt_id
from ddecli.data.store import PairStore

Run = Callable[..., Any]


@pytest.fixture
def folder() -> Path:
    path = Path("data")
    path.mkdir()
    for number in range(6):
        (path / f"{number}.png").write_bytes(png(number))
    return path


def prompts_of(folder: Path | str) -> list[str]:
    store = PairStore.open(Path(folder))
    return [store.pair(i).prompt for i in range(len(store))]


def scored(ddecli: Run, folder: Path, scorer: Path, *more: object) -> list[str]:
    """Score images: the prompt ids in their order."""
    typed = ddecli("score", folder, "--metric", "clip", "--scorer", f"clip={scorer}", *more, "--json")
    assert typed.code == 0, typed.error
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    return [row["prompt_id"] for row in rows if row["metric"] == "clip"]


ROWS = "prompt,chosen,rejected\nun café rouge,0.png,1.png\nune étoile,2.png,3.png\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (ROWS.encode("cp1252"), ("line 2 has the byte 0xE9", "iconv -f WINDOWS-1252 -t UTF-8")),
        (ROWS.replace(",", "\t").encode("utf-16"), ("is UTF-16 text", "iconv -f UTF-16 -t UTF-8")),
        (ROWS.encode("utf-16-le"), ("NUL bytes",)),
        (
            ROWS.replace("\n", "\r").encode(),
            ("line 1", "CR where a line should end with LF", "tr '\\r' '\\n'"),
        ),
        (ROWS.replace("une", '"une').encode(), ("quotation mark that is not closed", "line 3")),
    ],
)
def test_prepare_refuses_a_csv_it_would_read_wrongly(
    ddecli: Run, sd_folder: Path, folder: Path, content: bytes, said: tuple[str, ...]
) -> None:
    (folder / "metadata.csv").write_bytes(content)
    typed = ddecli("prepare", "--model", sd_folder, "--data", folder, "--out", "store")
    assert_one_sentence(typed, "metadata.csv", *said)
    assert "\0" not in typed.error
    assert "\ufffd" not in typed.error
    assert not list(Path().glob("store*"))


@pytest.mark.parametrize(
    "content",
    [
        ROWS.replace(",", ";"),
        ROWS.replace(",", "|"),
        ROWS.replace(",", "\t"),
        ROWS.replace(",", ", "),
        "\ufeff" + ROWS.replace("\n", "\r\n"),
    ],
)
def test_prepare_finds_the_delimiter(ddecli: Run, sd_folder: Path, folder: Path, content: str) -> None:
    (folder / "metadata.csv").write_bytes(content.encode())
    typed = ddecli("prepare", "--model", sd_folder, "--data", folder, "--out", "store", "--json")
    assert typed.code == 0, typed.error
    assert prompts_of("store") == ["un café rouge", "une étoile"]


def test_an_unquoted_comma_is_a_bad_row(ddecli: Run, sd_folder: Path, folder: Path) -> None:
    (folder / "metadata.csv").write_text("prompt,chosen,rejected\na cat, sitting,0.png,1.png\n")
    typed = ddecli("prepare", "--model", sd_folder, "--data", folder, "--out", "store")
    assert_one_sentence(typed, "no row can be read", "4 cells for 3 columns", "in quotation marks")


def test_a_line_break_in_a_quoted_prompt_is_the_same_for_every_command(
    ddecli: Run, sd_folder: Path, folder: Path, tmp_path: Path
) -> None:
    scorer = tiny_models.save_clip(tmp_path / "clip")
    text = 'file_name,prompt\n0.png,"a red circle\non white"\n1.png,"a blue star, on white"\n'
    (folder / "metadata.csv").write_text(text)
    expected = [prompt_id("a red circle on white"), prompt_id("a blue star, on white")]
    assert scored(ddecli, folder, scorer) == expected
    Path("prompts.csv").write_text(text)
    assert scored(ddecli, folder, scorer, "--prompts", "prompts.csv") == expected
    typed = ddecli("sample", sd_folder, "--prompts", "prompts.csv", "--steps", 1, "--out", "images")
    assert typed.code == 0, typed.error
    lines = Path("images/metadata.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(dict.fromkeys(json.loads(line)["prompt_id"] for line in lines)) == expected


LIKE_LINE_ENDS = ("a red circle\u2028on white", "a blue star\u0085on white")


def test_characters_that_look_like_line_ends(
    ddecli: Run, sd_folder: Path, folder: Path, tmp_path: Path
) -> None:
    scorer = tiny_models.save_clip(tmp_path / "clip")
    expected = [prompt_id("a red circle on white"), prompt_id("a blue star on white")]
    rows = [{"file_name": f"{i}.png", "prompt": prompt} for i, prompt in enumerate(LIKE_LINE_ENDS)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "metadata.jsonl").write_text(lines, encoding="utf-8")
    assert scored(ddecli, folder, scorer) == expected
    Path("prompts.jsonl").write_text(lines, encoding="utf-8")
    Path("prompts.txt").write_text("\n".join(LIKE_LINE_ENDS) + "\n", encoding="utf-8")
    for name in ("prompts.jsonl", "prompts.txt"):
        typed = ddecli("sample", sd_folder, "--prompts", name, "--steps", 1, "--out", f"of-{name}", "--json")
        assert typed.code == 0, typed.error
        assert json.loads(typed.out)["prompts"] == 2
    pairs = [
        {"prompt": prompt, "chosen": f"{2 * i}.png", "rejected": f"{2 * i + 1}.png"}
        for i, prompt in enumerate(LIKE_LINE_ENDS)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in pairs)
    (folder / "pairs.jsonl").write_text(lines, encoding="utf-8")
    typed = ddecli("prepare", "--model", sd_folder, "--data", folder / "pairs.jsonl", "--out", "store")
    assert typed.code == 0, typed.error
    assert prompts_of("store") == list(LIKE_LINE_ENDS)


def test_a_missing_list_of_prompts(ddecli: Run, sd_folder: Path) -> None:
    typed = ddecli("sample", sd_folder, "--prompts", "none.txt")
    assert_one_sentence(typed, "Prompt file none.txt does not exist", "world:validation")
