"""The recipes of the built-in world are the best cells of the recorded grids."""

import json
from pathlib import Path

import pytest

from ddecli.training.settings import recipe

RECORDS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.mark.parametrize("model", ["tiny", "tiny-xl"])
def test_recipes_are_the_best_cells_of_the_grid(model: str) -> None:
    record = json.loads((RECORDS / f"grid-{model}.json").read_text())
    for loss, chosen in record["chosen"].items():
        rows = [row for row in record["rows"] if row["loss"] == loss]
        most = max(len(row["seeds"]) for row in rows)
        best = max((row for row in rows if len(row["seeds"]) == most), key=lambda row: row["gain"])
        assert chosen == {name: best[name] for name in chosen}
        found = recipe(model, loss, tiny=True)
        assert {name: found[name] for name in chosen} == chosen
        assert all(found[name] == record["budget"][name] for name in ("steps", "batch_size", "warmup"))
