"""docs/own-data.md, line by line, with a small random model in the place of sd15."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from browser import collecting
from huggingface_hub import ModelCard
from pair_data import png

from ddecli.cli.app import main

PAGE = Path(__file__).parents[2] / "docs" / "own-data.md"
HUB_ID = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def blocks(language: str) -> list[str]:
    """The page's code of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


def own_pairs(folder: Path) -> None:
    """Twenty pairs of pictures of several shapes and kinds, as the page describes them."""
    for number in range(20):
        name = f"picture {number}"
        (folder / "w" / f"{name}.png").write_bytes(png(2 * number, (32 + number, 48)))
        (folder / "l" / f"{name}.jpg").write_bytes(png(2 * number + 1, (40, 40)))
        (folder / "w" / f"{name}.txt").write_text(f"a fox in the snow, number {number}\n")


def vote(words: list[str]) -> None:
    """Vote on every pair that a command asks, for the left and the right picture in turns."""
    with collecting(Path(), *words) as (address, _), httpx.Client(base_url=address) as client:
        state = client.get("state", params={"voter": "me"}).json()
        while state["pair"]:
            choice = ("left", "right")[state["done"] % 2]
            state = client.post(
                "vote", json={"voter": "me", "pair": state["pair"]["id"], "choice": choice}
            ).json()


def test_the_page_on_own_data(
    world_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "models" / "sd15"
    shutil.copytree(world_folder, model)  # so that the world's scorers stand in for the real ones
    monkeypatch.chdir(tmp_path)
    Path("my-prompts.txt").write_text("".join(f"a fox in the snow, number {n}\n" for n in range(20)))
    outputs = []
    for line in "".join(blocks("sh")).splitlines():
        words = shlex.split(line)
        if words[0] != "ddecli":
            subprocess.run(words, check=True)
            own_pairs(Path("my-pairs"))
            continue
        if words[1] == "collect":
            vote(words[2:])
            continue
        monkeypatch.setattr(sys, "argv", [str(model) if word == "sd15" else word for word in words])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert not stop.value.code, f"{line}\n{said.err}"
        outputs.append(said.out)
    assert Path("images/sd15-dde-lora16/beside-sd15.png").is_file()
    assert Path("images/sd15-dde-lora16/beside-sd15-most-changed.png").is_file()
    (compared,) = (out for out in outputs if "sd15-dde-lora16 against" in out)
    assert re.search(r"clip .*\(.*\.\..*\)", compared)
    assert Path("sd15-dde.safetensors").is_file()
    card = ModelCard(Path("runs/sd15-dde-lora16/model/README.md").read_text())
    assert "<Gallery />" in card.text and {"clip", "hps"} <= {
        each.metric_type for each in card.data.eval_results
    }
    for code in blocks("python"):
        exec(code.replace(HUB_ID, str(model)), {})
    assert Path("fox.png").is_file()
    for name in ("my-pairs", "votes"):
        kept, held_out = (Path(f"pairs/{name}-sd15{part}/pairs.parquet") for part in ("", "-holdout"))
        assert pq.read_metadata(kept).num_rows + pq.read_metadata(held_out).num_rows == 20
