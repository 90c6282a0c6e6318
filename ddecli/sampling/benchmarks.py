"""Prompts of benchmarks as their own repositories hold them, each with what the benchmark says of it.

geneval         evaluation_metadata.jsonl (djghosh13/geneval): objects with prompt, tag and include
geneval2        geneval2_data.jsonl (facebookresearch/GenEval2): objects with prompt, vqa_list and skills
dpg             a folder of ITEM_ID.txt, a prompt each (TencentQQGYLab/ELLA, dpg_bench/prompts)
t2i-compbench   CATEGORY.txt or CATEGORY_val.txt, a prompt a line, or the folder of them
                (Karine-Huang/T2I-CompBench, examples/dataset)

Their data are read from the user's own copy: none is shipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddecli.core.encoding import read_text
from ddecli.core.errors import BadRow, UserError
from ddecli.core.inside import inside
from ddecli.core.parsing import check_shape, parse_json
from ddecli.core.prompts import COLUMNS, PromptRow, lines_of, read_prompt_rows
from ddecli.core.text_tables import place, read_items

COMPBENCH = ("color", "shape", "texture", "spatial", "3d_spatial", "numeracy", "non_spatial", "complex")
"""The categories of T2I-CompBench++."""
STYLES = ("anime", "concept-art", "paintings", "photo")
"""The files of HPSv2's benchmark, in its order."""
_COMPBENCH_FILE = re.compile(rf"({'|'.join(COMPBENCH)})(_(train|val)(_\w+)?)?\.txt")

ITEM_ID = "item_id"
REQUIRED: dict[str, dict[str, type]] = {
    "geneval": {"prompt": str, "tag": str, "include": list},
    "geneval2": {"prompt": str, "vqa_list": list, "skills": list},
    "dpg": {ITEM_ID: str},
    "t2i-compbench": {"category": str},
}
"""What a benchmark's tool needs of a prompt."""
TITLES = {"geneval": "GenEval", "geneval2": "GenEval 2", "dpg": "DPG-Bench", "t2i-compbench": "T2I-CompBench"}
FILES = {
    "geneval": "evaluation_metadata.jsonl",
    "geneval2": "geneval2_data.jsonl",
    "dpg": "the folder dpg_bench/prompts, ITEM_ID.txt each",
    "t2i-compbench": "CATEGORY.txt or CATEGORY_val.txt, or the folder of them",
}


def fits(row: PromptRow, name: str) -> bool:
    """Whether a benchmark's tool finds in a row what it needs."""
    return all(isinstance(row.about.get(key), kind) for key, kind in REQUIRED[name].items())


def read_benchmark(name: str, path: Path) -> list[PromptRow]:
    """The prompts of a benchmark, in its order.

    Args:
        name: one of `REQUIRED`.

    Raises:
        UserError: the file or folder is none of this benchmark.
    """
    return _READERS[name](path)


def benchmark_of(path: Path) -> str | None:
    """Which benchmark's list of texts a file or folder is by its name and those in it; None of any other."""
    if path.is_dir():
        return "t2i-compbench" if _compbench_files(path) else "dpg" if _item_files(path) else None
    is_compbench = (
        _compbench_category(path) and path.is_file() and not any("\t" in line for line in lines_of(path))
    )
    return "t2i-compbench" if is_compbench else None


def read_list(path: Path, columns: Sequence[str] = COLUMNS) -> list[PromptRow]:
    """The prompts of a file: see `read_prompt_rows`. One of HPSv2's knows their style, and may hold all four.

    Raises:
        UserError: it cannot be read.
    """
    if path.suffix.lower() != ".json":
        return read_prompt_rows(path, columns)
    if found := _object_of_styles(path):
        return found
    rows = read_prompt_rows(path, columns)
    return (
        [PromptRow(row.prompt, {"style": path.stem, **row.about}) for row in rows]
        if path.stem in STYLES
        else rows
    )


def _object_of_styles(file: Path) -> list[PromptRow]:
    """The lists of an object by style, as `hpsv2.benchmark_prompts` gives them; nothing of another file."""
    text = read_text(file)
    if not text.lstrip().startswith("{"):
        return []
    try:
        value = parse_json(text)
        check_shape(value, dict[str, list[str]])
    except ValueError:
        return []
    return [PromptRow(prompt, {"style": style}) for style, prompts in value.items() for prompt in prompts]


def _of_objects(name: str) -> Callable[[Path], list[PromptRow]]:
    def read(path: Path) -> list[PromptRow]:
        way_out = f"give {FILES[name]} of {TITLES[name]}"
        if path.suffix.lower() not in (".jsonl", ".json"):
            raise UserError(f"{path} is not {TITLES[name]}'s list of prompts: {way_out}.")
        rows = []
        for number, item, _ in read_items(path):
            row = PromptRow(str(item.get("prompt", "")), item) if isinstance(item, dict) else None
            if row is None or not fits(row, name):
                raise UserError(
                    f"{path}, {place(path, number)}, is no prompt of {TITLES[name]}, which has "
                    f"{_listed(REQUIRED[name])}: {way_out}."
                )
            rows.append(row)
        return rows

    return read


def _listed(required: Mapping[str, Any]) -> str:
    *most, last = required
    return f"{', '.join(most)} and {last}"


def _item_files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.glob("*.txt") if not file.name.startswith("."))


def _dpg(path: Path) -> list[PromptRow]:
    names = _item_files(path) if path.is_dir() else []
    if not names:
        raise UserError(f"{path} holds no prompts of DPG-Bench: give {FILES['dpg']}.")
    return [
        PromptRow(read_text(_file_in(path, name)).strip(), {ITEM_ID: name.removesuffix(".txt")})
        for name in names
    ]


def _compbench_category(path: Path) -> str | None:
    found = _COMPBENCH_FILE.fullmatch(path.name)
    return found[1] if found else None


def _compbench_files(folder: Path) -> list[str]:
    """The categories' lists for validation, or whole where there is none."""
    names = [[f"{category}_val.txt", f"{category}.txt"] for category in COMPBENCH]
    found = (next((name for name in each if (folder / name).is_file()), None) for each in names)
    return [name for name in found if name]


def _compbench(path: Path) -> list[PromptRow]:
    """A line is a prompt, what follows a tab is none of it: so the benchmark's own scripts read it."""
    folder, names = (path, _compbench_files(path)) if path.is_dir() else (path.parent, [path.name])
    if not names or not all(_compbench_category(Path(name)) for name in names):
        raise UserError(
            f"{path} is no list of T2I-CompBench: give {FILES['t2i-compbench']}, as color_val.txt."
        )
    return [
        PromptRow(line.split("\t")[0], {"category": _compbench_category(Path(name))})
        for name in names
        for line in lines_of(_file_in(folder, name))
    ]


def _file_in(folder: Path, name: str) -> Path:
    try:
        return inside(folder, name)
    except BadRow as error:
        raise UserError(f"{folder / name}: {error}.") from error


_READERS = {
    "geneval": _of_objects("geneval"),
    "geneval2": _of_objects("geneval2"),
    "dpg": _dpg,
    "t2i-compbench": _compbench,
}
