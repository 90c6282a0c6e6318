"""Extras of the package."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_extra_that_is_named_exists() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("ddecli/**/*.py")]
    named = {
        extra.strip(): file
        for file in files
        for extras_of_one in re.findall(r"ddecli\[([\w, -]+)\]", file.read_text(encoding="utf-8"))
        for extra in extras_of_one.split(",")
    }
    assert {"adamw8bit", "inception"} <= named.keys()
    assert named.keys() <= extras.keys()
