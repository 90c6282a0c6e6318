"""`ddecli prepare` on people's data: what it recognises, holds out, leaves out, lets a scorer decide, shares."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny_models
import torch
from huggingface_hub import constants
from pair_data import picture, png, tar, write_folder
from PIL import Image
from small_hub import SmallHub, hub_in_place

from ddecli.data.sources import parquet
from ddecli.data.store import PairStore

Run = Callable[..., Any]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    with hub_in_place(monkeypatch) as running:
        yield running


def prepared(ddecli: Run, *arguments: object) -> tuple[dict[str, Any], str]:
    """The summary, and what was said beside it."""
    typed = ddecli("prepare", *arguments, "--json")
    assert typed.code == 0, typed.error
    return json.loads(typed.out), typed.error


def sentence(ddecli: Run, *arguments: object) -> str:
    """The one sentence that a refused command ends with."""
    typed = ddecli("prepare", *arguments)
    assert typed.code == 2
    said = typed.error.strip().splitlines()[-1]
    assert said.startswith("Error: ")
    return said


def pairs_of(folder: str) -> dict[str, tuple[str, str]]:
    """Pair id -> SHA-256 of the chosen and of the rejected picture."""
    store = PairStore.open(Path(folder))
    found = [store.pair(i) for i in range(len(store))]
    return {pair.pair_id: (pair.chosen_sha256, pair.rejected_sha256) for pair in found}


def own_rows(count: int) -> list[dict[str, object]]:
    return [
        {"prompt": f"a red circle {i}", "chosen": f"{2 * i}.png", "rejected": f"{2 * i + 1}.png"}
        for i in range(count)
    ]


def plain(value: int) -> bytes:
    """A picture of one colour whose file has the same size whatever the colour."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (value, value, value)).save(file, format="BMP")
    return file.getvalue()


def write_shards(folder: Path, count: int, rows: int) -> None:
    folder.mkdir()
    for shard in range(count):
        some = [
            {
                "prompt": f"p{shard}",
                "chosen": png(100 * shard + 2 * i),
                "rejected": png(100 * shard + 2 * i + 1),
            }
            for i in range(rows)
        ]
        pq.write_table(pa.Table.from_pylist(some), folder / f"{shard}.parquet", compression="gzip")


def test_it_says_what_it_took_and_how_much_disk_it_needs(ddecli: Run, sd_folder: Path) -> None:
    for side, first in (("w", 0), ("l", 10)):
        Path("mine", side).mkdir(parents=True)
        for number in range(3):
            Path("mine", side, f"{number}.png").write_bytes(png(first + number))
            Path("mine", "w", f"{number}.txt").write_text(f"prompt {number}")
    summary, said = prepared(ddecli, "--model", sd_folder, "--data", "mine")
    assert "mine: folders w/ and l/ with pictures of equal names, 3 rows" in said
    assert "Disk for 3 pairs: at most 6.14 kB for 6 pictures of 1.02 kB" in said
    assert (summary["pairs"], summary["complete"]) == (3, True)


def test_held_out_prompts_make_a_second_store(ddecli: Run, sd_folder: Path) -> None:
    write_folder(Path("data"), own_rows(20), 40)
    summary, _ = prepared(ddecli, "--model", sd_folder, "--data", "data", "--out", "a", "--holdout", 0.3)
    assert summary["holdout"] == "a-holdout"
    assert summary["pairs"] + summary["holdout_pairs"] == 20
    trained, held_out = pairs_of("a"), pairs_of("a-holdout")
    assert 0 < len(held_out) < 14
    assert not trained.keys() & held_out.keys()
    rows = [row | {"prompt": f"  {str(row['prompt']).upper()} "} for row in own_rows(20)[::-1]]
    write_folder(Path("again"), [*rows, {"prompt": "b", "chosen": "0.png", "rejected": "3.png"}], 40)
    prepared(ddecli, "--model", sd_folder, "--data", "again", "--out", "b", "--holdout", 0.3)
    assert {sides for sides in pairs_of("b-holdout").values()} >= set(held_out.values())
    assert not set(pairs_of("b").values()) & set(held_out.values())
    Path("d-holdout").mkdir()
    Path("d-holdout/thesis.txt").write_text("years of work")
    again, said = prepared(ddecli, "--model", sd_folder, "--data", "data", "--out", "a", "--holdout", 0.3)
    assert "a is complete" in said and again | {"seconds": 0} == summary | {"seconds": 0}
    for out, holdout, words in (
        ("a", 0.5, "a exists already, with other data or settings"),
        ("d", 0.3, "d-holdout exists and is no pair store"),
    ):
        arguments = ("--model", sd_folder, "--data", "data", "--out", out, "--holdout", holdout)
        assert words in sentence(ddecli, *arguments)
    summary, _ = prepared(ddecli, "--model", sd_folder, "--data", "data", "--out", "c", "--holdout", 0.0001)
    assert (summary["holdout"], summary["pairs"]) == (None, 20)
    assert not Path("c-holdout").exists()


def test_prompts_of_other_sets_are_left_out_and_counted(ddecli: Run, sd_folder: Path) -> None:
    from ddecli.tinyworld.prompts import world_prompts

    rows = own_rows(4)
    rows[2]["prompt"] = world_prompts("validation")[7].upper()
    write_folder(Path("data"), rows, 8)
    Path("test.txt").write_text("A  red circle 0\nsomething else\n")
    summary, _ = prepared(
        ddecli, "--model", sd_folder, "--data", "data", "--out", "store",
        "--exclude-prompts", "world:validation", "--exclude-prompts", "test.txt",
    )  # fmt: skip
    assert summary["dropped"] == {"prompt of an excluded set": 2}
    assert sorted(pairs_of("store")) == ["metadata.jsonl:2", "metadata.jsonl:4"]
    assert PairStore.open(Path("store")).manifest["prompts"]["excluded_prompts"] == 402
    assert "none.txt does not exist" in sentence(
        ddecli, "--model", sd_folder, "--data", "data", "--out", "x", "--exclude-prompts", "none.txt"
    )


def test_a_scorer_decides(ddecli: Run, sd_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

    clip = tiny_models.save_clip(tmp_path / "clip")
    rows = own_rows(6)
    twin = picture(6)  # other pixels, which a 32-pixel scorer cannot tell apart
    write_folder(Path("data"), [*rows, {"prompt": "x", "chosen": "6.png", "rejected": "same.bmp"}], 12)
    twin.save("data/same.bmp")
    summary, _ = prepared(
        ddecli, "--model", sd_folder, "--data", "data", "--out", "store", "--relabel", "clip",
        "--scorer", f"clip={clip}",
    )  # fmt: skip
    assert summary["pairs"] == 6
    model = CLIPModel.from_pretrained(clip, dtype=torch.float32).eval()
    words, images = AutoTokenizer.from_pretrained(clip), CLIPImageProcessorPil.from_pretrained(clip)
    store = PairStore.open(Path("store"))
    people = pairs_of("store")
    swapped = 0
    for index in range(len(store)):
        pair = store.pair(index)
        number = int(pair.pair_id.split(":")[1]) - 1
        both = [Image.open(f"data/{2 * number + side}.png") for side in range(2)]
        with torch.no_grad():
            out = model(
                **words([pair.prompt], return_tensors="pt", truncation=True),
                **images(both, return_tensors="pt"),
            )
            gap = float((out.logits_per_image[0] - out.logits_per_image[1]) / model.logit_scale.exp())
        assert pair.score_gap == pytest.approx(abs(gap), abs=1e-5)
        swapped += gap < 0
        prepared_first = people[pair.pair_id][0] == sha256(f"data/{2 * number}.png")
        assert prepared_first == (gap > 0)
    assert 0 < swapped < 6
    assert store.manifest["relabel"]["name"] == "clip"


def sha256(path: str) -> str:
    from ddecli.core.files import sha256_file

    return sha256_file(Path(path))


def test_shares_are_joined_and_a_process_may_be_told_by_its_environment(
    ddecli: Run, sd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 2)
    write_shards(Path("data"), 3, 2)
    common = ("--model", sd_folder, "--data", "data")
    prepared(ddecli, *common, "--out", "whole")
    first = ddecli("prepare", *common, "--out", "shared", "--shard", "1/2")
    assert first.code == 0
    assert "this shard is done, 4 pairs of 4 rows; other shards are not finished" in first.out
    assert not Path("shared").exists()
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    summary, _ = prepared(ddecli, *common, "--out", "shared")
    assert (summary["pairs"], summary["complete"]) == (6, True)
    assert pairs_of("shared") == pairs_of("whole")
    assert "--shard 3/2 must be I/N" in sentence(ddecli, *common, "--out", "x", "--shard", "3/2")


@pytest.mark.parametrize("kind", ["parquet", "tar", "pictures"])
def test_data_replaced_between_two_shares_are_noticed(
    ddecli: Run, sd_folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """By data of the same names, numbers and sizes: the two halves are never mixed."""
    monkeypatch.setattr(parquet, "PART_ROWS", 2)
    monkeypatch.setattr("ddecli.data.sources.pair_folders.PART_ROWS", 2)

    def write(first: int) -> Path:
        """Four pairs of plain pictures; their first files, by the time of day."""
        shutil.rmtree("data", ignore_errors=True)
        pairs = [(plain(first + i), plain(100 + i)) for i in range(4)]
        if kind == "parquet":
            Path("data").mkdir()
            for start in (0, 2):
                rows = [{"prompt": "a", "chosen": w, "rejected": l} for w, l in pairs[start : start + 2]]
                table = pa.Table.from_pylist(rows)
                pq.write_table(table, f"data/{start}.parquet", compression="none", use_dictionary=False)
            return Path("data/0.parquet")
        if kind == "tar":
            for start in (0, 2):
                files = {}
                for number, (w, l) in enumerate(pairs[start : start + 2]):
                    files |= {f"{number}.chosen.bmp": w, f"{number}.rejected.bmp": l, f"{number}.txt": "a"}
                tar(Path(f"data/{start}.tar"), files)
            return Path("data/0.tar")
        for number, sides in enumerate(pairs):
            for side, content in zip("wl", sides, strict=True):
                Path("data", side).mkdir(parents=True, exist_ok=True)
                Path("data", side, f"{number}.bmp").write_bytes(content)
            Path(f"data/{number}.txt").write_text("a")
        return Path("data/w/0.bmp")

    arguments = ("--model", sd_folder, "--data", "data", "--out", "store")
    size = write(0).stat().st_size
    assert ddecli("prepare", *arguments, "--shard", "1/2").code == 0
    assert write(50).stat().st_size == size
    said = sentence(ddecli, *arguments, "--shard", "2/2")
    assert (
        "has changed since store.parts/parts/00000 was made from it" in said and "remove store.parts" in said
    )
    assert "has changed since" in sentence(ddecli, *arguments)
    shutil.rmtree("store.parts")
    assert prepared(ddecli, *arguments)[0]["pairs"] == 4
    write(60)  # a finished store is not taken for one of these data either
    assert "exists already, with other data" in sentence(ddecli, *arguments)


def test_a_damaged_shard_stops_it_and_what_was_whole_is_kept(
    ddecli: Run, sd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "PART_ROWS", 2)
    write_shards(Path("data"), 3, 2)
    good = Path("data/1.parquet").read_bytes()
    hole = bytearray(good)
    hole[200 : len(good) // 2] = bytes(len(good) // 2 - 200)
    Path("data/1.parquet").write_bytes(hole)
    arguments = ("--model", sd_folder, "--data", "data", "--out", "store")
    said = sentence(ddecli, *arguments)
    assert "data/1.parquet is damaged at row 0" in said
    assert "1 of 3 parts are finished and kept in store.parts" in said
    Path("data/1.parquet").write_bytes(good)
    assert "holds parts made with other settings (prompts differ)" in sentence(
        ddecli, *arguments, "--holdout", 0.5
    )
    assert prepared(ddecli, *arguments)[0]["pairs"] == 6
    assert not Path("store.parts").exists()


def test_data_sets_of_the_hub(
    ddecli: Run, sd_folder: Path, hub: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shards(Path("data"), 1, 3)
    hub.files["someone/pairs"] = {"data/train-00000-of-00001.parquet": Path("data/0.parquet").read_bytes()}
    summary, said = prepared(ddecli, "--model", sd_folder, "--data", "someone/pairs")
    assert (summary["pairs"], summary["out"]) == (3, f"pairs/pairs-{sd_folder.name}")
    assert "someone/pairs: 1 parquet file of the hub: prompt, chosen, rejected" in said
    for name, words in (
        ("someone/none", "the hub has no data set someone/none"),
        ("pickapic", "the hub has no data set yuvalkirstain/pickapic_v2"),
    ):
        assert words in sentence(ddecli, "--model", sd_folder, "--data", name, "--out", "x")
    hub.gated.add("someone/pairs")
    assert "accept its terms" in sentence(
        ddecli, "--model", sd_folder, "--data", "someone/pairs", "--out", "x"
    )
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be read from the hub" in sentence(
        ddecli, "--model", sd_folder, "--data", "someone/pairs", "--out", "x"
    )
    assert not Path("x").exists()
    assert not Path("x.parts").exists()


def test_a_data_set_of_the_hub_with_several_subsets(ddecli: Run, sd_folder: Path, hub: SmallHub) -> None:
    write_shards(Path("data"), 2, 2)
    hub.files["someone/several"] = {
        f"{i}/x.parquet": Path(f"data/{i}.parquet").read_bytes() for i in range(2)
    }
    configs = [{"config_name": name, "data_files": f"{i}/*"} for i, name in enumerate(("easy", "hard"))]
    hub.cards["someone/several"] = {"configs": configs}
    arguments = ("--model", sd_folder, "--data", "someone/several")
    assert "has the subsets easy, hard: choose one with --subset" in sentence(ddecli, *arguments)
    assert "has no subset mild, only easy, hard" in sentence(ddecli, *arguments, "--subset", "mild")
    summary, said = prepared(ddecli, *arguments, "--subset", "hard")
    assert summary["out"] == f"pairs/several-hard-{sd_folder.name}"
    assert "1 parquet file of the hub, subset hard: prompt, chosen, rejected" in said
    assert [PairStore.open(Path(summary["out"])).pair(i).prompt for i in range(2)] == ["p1", "p1"]
    said = sentence(ddecli, "--model", sd_folder, "--data", "data", "--subset", "hard")
    assert "--subset is for data sets of the hub" in said


def test_sdxl_keeps_sizes_and_its_autoencoder_out_of_float16(
    ddecli: Run, sdxl_folder: Path, tmp_path: Path
) -> None:
    model = tmp_path / "upcast"
    model.mkdir()
    for part in sdxl_folder.iterdir():
        (model / part.name).symlink_to(part)
    (model / "vae").unlink()
    (model / "vae").mkdir()
    for file in (sdxl_folder / "vae").iterdir():
        (model / "vae" / file.name).symlink_to(file)
    config = json.loads((model / "vae" / "config.json").read_text()) | {"force_upcast": True}
    (model / "vae" / "config.json").unlink()
    (model / "vae" / "config.json").write_text(json.dumps(config))
    write_folder(Path("data"), [{"prompt": "a", "chosen": "tall.png", "rejected": "wide.png"}])
    Path("data/tall.png").write_bytes(png(1, (40, 160)))
    Path("data/wide.png").write_bytes(png(2, (96, 48)))
    prepared(ddecli, "--model", model, "--data", "data", "--out", "half", "--precision", "float16")
    prepared(ddecli, "--model", model, "--data", "data", "--out", "full")
    half, full = (PairStore.open(Path(name)) for name in ("half", "full"))
    assert half.manifest["autoencoder_dtype"] == full.manifest["autoencoder_dtype"] == "float32"
    both = torch.cat([half.chosen_index, half.rejected_index])
    torch.testing.assert_close(half.latents(both), full.latents(both), atol=2e-3, rtol=0)  # rounded weights
    assert half.sizes(both).tolist() == [[160, 40, 48, 0, 32, 32], [48, 96, 0, 16, 32, 32]]


def test_the_number_of_workers_changes_nothing(ddecli: Run, sd_folder: Path) -> None:
    write_folder(Path("data"), own_rows(5), 10)
    for out, workers in (("one", 1), ("many", 7)):
        prepared(ddecli, "--model", sd_folder, "--data", "data", "--out", out, "--workers", workers)
    files = {path.name for path in Path("one").iterdir()}
    assert all(Path("one", name).read_bytes() == Path("many", name).read_bytes() for name in files)
