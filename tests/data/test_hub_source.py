"""Data sets streamed from a hub: the real client, talking to a small hub on this machine."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from averaging_model import Averaging
from huggingface_hub import constants
from pair_data import png
from small_hub import SHA, SmallHub, hub_in_place

from ddecli.core.errors import UserError
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.prepare import prepare_source
from ddecli.data.sources.base import Source, Wanted
from ddecli.data.sources.registry import open_source
from ddecli.data.store import PairStore


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    with hub_in_place(monkeypatch) as running:
        yield running


def pick_a_pic(number: int, **more: Any) -> dict[str, Any]:
    row = {"caption": f"prompt {number}", "jpg_0": png(2 * number), "jpg_1": png(2 * number + 1)}
    return row | {"label_0": 1.0, "has_label": True, "are_different": True, "user_id": 7} | more


def shard(rows: list[dict[str, Any]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer, **options)
    return buffer.getvalue()


def read(source: Source) -> list[Pair]:
    return [pair for part in source.parts for pair in part.read(Rejects())]


def test_pickapic_is_streamed_a_shard_a_part(hub: SmallHub, tmp_path: Path) -> None:
    names = [f"data/train-0000{i}-of-00003-b66ac786bf6fb553.parquet" for i in range(3)]
    rows = [[pick_a_pic(10 * i + j, jpg_1=png(500 + j)) for j in range(4)] for i in range(3)]
    rows[1][2]["label_0"] = 0.5
    unique = {"data/validation_unique-00000-of-00001.parquet": shard([pick_a_pic(99)])}
    files = {name: shard(some) for name, some in zip(names, rows, strict=True)}
    hub.files["yuvalkirstain/pickapic_v2"] = {"README.md": b"", **files, **unique}
    splits = [{"name": "train", "num_examples": 12}, {"name": "validation_unique", "num_examples": 1}]
    hub.cards["yuvalkirstain/pickapic_v2"] = {"dataset_info": {"splits": splits}}

    source = open_source("pickapic")
    assert source.layout == "3 parquet files of the hub: Pick-a-Pic"
    assert source.name == f"yuvalkirstain/pickapic_v2@{SHA[:12]}"
    assert source.total == 12
    assert [part.name for part in source.parts] == [name.split("/")[1] for name in names]
    summary = prepare_source(source, Averaging(), tmp_path / "store", max_bad=0)
    assert (summary.rows, summary.pairs, summary.images) == (12, 11, 11 + 4)
    assert summary.dropped == {"tie": 1}
    store = PairStore.open(tmp_path / "store")
    assert store.pair(0).pair_id == "train-00000-of-00003-b66ac786bf6fb553.parquet:0"
    assert store.pair(0).source == f"yuvalkirstain/pickapic_v2@{SHA}/{names[0]}"
    assert not any("unique" in name for name in hub.sent)

    other = open_source("yuvalkirstain/pickapic_v2", Wanted(split="validation_unique"))
    assert [pair.prompt for pair in read(other)] == ["prompt 99"]


def test_only_the_columns_that_are_needed_are_fetched(hub: SmallHub) -> None:
    noise = np.random.default_rng(0)
    rows = [pick_a_pic(i, another=noise.bytes(12_000_000)) for i in range(3)]
    large = shard(rows, row_group_size=1)
    hub.files["someone/large"] = {"0.parquet": large}
    assert len(read(open_source("someone/large"))) == 3
    assert hub.sent["0.parquet"] < 0.6 * len(large)  # the client reads 5 MB ahead of each place


def test_columns_and_the_conversion_of_the_hub(hub: SmallHub) -> None:
    hub.files["someone/csv"] = {"pairs.csv": b""}
    hub.converted["someone/csv"] = {
        "default/train/0000.parquet": shard([{"words": "a", "good": png(0), "bad": png(1)}])
    }
    names = {"prompt": "words", "chosen": "good", "rejected": "bad"}
    (pair,) = read(open_source("someone/csv", Wanted(names)))
    assert (pair.prompt, pair.chosen, pair.rejected) == ("a", png(0), png(1))
    with pytest.raises(
        UserError, match=r"someone/csv/default/train/0000\.parquet has columns words, good, bad"
    ):
        open_source("someone/csv")
    hub.files["someone/archive"] = {"all.zip": b""}
    hub.files["ymhao/HPDv2"] = {"train.json": b"[]", "train.tar.gz": b"31 GB of pictures"}
    for name in ("someone/archive", "ymhao/HPDv2"):
        with pytest.raises(UserError, match="has no parquet files and no tars of pairs: fetch it .* unpack"):
            open_source(name)


def small(word: str) -> bytes:
    return shard([{"prompt": word, "chosen": png(0), "rejected": png(1)}])


def test_subsets_of_a_card_say_which_files_are_of_which_split(hub: SmallHub) -> None:
    names = ("easy/one.parquet", "easy/two.parquet", "hard/deep/a.parquet", "hard/b.parquet", "rest.parquet")
    hub.files["someone/several"] = {name: small(name) for name in names} | {"csv/a.csv": b""}
    easy = [{"split": "train", "path": "easy/one.*"}, {"split": "human", "path": ["./easy/t[!abc]o.parquet"]}]
    configs: list[dict[str, Any]] = [
        {"config_name": "easy", "data_files": easy},
        {"config_name": "hard", "data_dir": "hard", "data_files": "**/*.parquet"},
        {"config_name": "csv", "data_files": "csv/*.csv"},
        {"config_name": "all"},
    ]
    rows = [{"name": "train", "num_examples": 1}, {"name": "human", "num_examples": 3}]
    hub.cards["someone/several"] = {
        "configs": configs,
        "dataset_info": [{"config_name": "easy", "splits": rows}],
    }

    def prompts(subset: str | None, split: str | None = None) -> list[str]:
        source = open_source("someone/several", Wanted(subset=subset, split=split))
        assert source.name.endswith(f", subset {subset or 'hard'}")
        return [pair.prompt for pair in read(source)]

    assert prompts("easy") == ["easy/one.parquet"]
    assert prompts("easy", "human") == ["easy/two.parquet"]
    assert open_source("someone/several", Wanted(subset="easy", split="human")).total == 3
    assert prompts("hard") == ["hard/b.parquet", "hard/deep/a.parquet"]
    assert prompts("all") == sorted(names)
    with pytest.raises(UserError, match="has the subsets easy, hard, csv, all: choose one with --subset"):
        open_source("someone/several")
    configs[1]["default"] = True
    assert prompts(None) == ["hard/b.parquet", "hard/deep/a.parquet"]

    hub.converted["someone/several"] = {"csv/human/0000.parquet": small("c"), "easy/train/0000.parquet": b""}
    assert prompts("csv") == ["c"]
    with pytest.raises(UserError, match="has no subset harder, only easy, hard, csv, all"):
        open_source("someone/several", Wanted(subset="harder"))
    del configs[2]
    with pytest.raises(UserError, match="has no subset csv"):
        open_source("someone/several", Wanted(subset="csv"))


def test_subsets_of_the_conversion(hub: SmallHub) -> None:
    hub.files["someone/script"] = {"script.py": b""}
    hub.converted["someone/script"] = {
        f"{subset}/partial-{split}/0000.parquet": small(f"{subset} {split}")
        for subset in ("b", "a")
        for split in ("validation_unique", "train")
    }
    with pytest.raises(UserError, match="has the subsets a, b: choose one with --subset"):
        open_source("someone/script")
    wanted = Wanted(subset="b", split="validation_unique")
    assert [pair.prompt for pair in read(open_source("someone/script", wanted))] == ["b validation_unique"]
    assert [pair.prompt for pair in read(open_source("someone/script", Wanted(subset="a")))] == ["a train"]


def test_file_names_in_a_shard_are_bad_rows(hub: SmallHub) -> None:
    hub.files["someone/names"] = {
        "0.parquet": shard([{"prompt": "a", "chosen": "/etc/passwd", "rejected": "b"}])
    }
    rejects = Rejects()
    assert not list(open_source("someone/names").parts[0].read(rejects))
    assert "which is not in the shard" in rejects.bad_rows[0]["detail"]


def test_tars_of_the_hub(hub: SmallHub) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in {"1.chosen.png": png(0), "1.rejected.png": png(1), "1.txt": b"a"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    hub.files["someone/tars"] = {"train-000.tar": buffer.getvalue(), "test-000.tar": b"not read"}
    source = open_source("someone/tars")
    assert source.layout == "1 tar of the hub: prompt, chosen, rejected"
    assert [(pair.prompt, pair.chosen) for pair in read(source)] == [("a", png(0))]


def test_what_the_hub_refuses_is_said_in_one_sentence(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.gated.add("someone/gated")
    with pytest.raises(UserError, match="someone/gated is gated: accept its terms on .* and log in"):
        open_source("someone/gated")
    with pytest.raises(UserError, match="no file or folder someone/none here, and the hub has no data set"):
        open_source("someone/none")
    with pytest.raises(UserError, match=r"no data set yuvalkirstain/pickapic_v2 .*the id of a copy"):
        open_source("pickapic")
    with pytest.raises(UserError, match="has no data set|cannot be read"):
        open_source("a" * 200 + "/" + "b..c")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="someone/none is on the hub, but HF_HUB_OFFLINE is set"):
        open_source("someone/none")


def test_without_a_network(hub: SmallHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"cannot be read from the hub \(.*\): without a network, fetch it"):
        open_source("someone/none")


def test_a_network_that_fails_midway_keeps_whole_shards(hub: SmallHub, tmp_path: Path) -> None:
    names = [f"train-{i}-of-3.parquet" for i in range(3)]
    hub.files["someone/pairs"] = {
        name: shard([pick_a_pic(10 * i + j) for j in range(3)]) for i, name in enumerate(names)
    }
    source = open_source("someone/pairs")
    hub.sent.clear()
    hub.breaks_after = 2
    with pytest.raises(
        UserError, match="someone/pairs cannot be read from the hub .* parts are finished and kept"
    ):
        prepare_source(source, Averaging(), tmp_path / "store")
    hub.breaks_after = None
    whole = len(list((tmp_path / "store.parts" / "parts").iterdir()))
    assert whole in (1, 2)
    hub.sent.clear()
    assert prepare_source(open_source("someone/pairs"), Averaging(), tmp_path / "store").pairs == 9
    assert names[1] not in hub.sent or whole == 1
    assert names[2] in hub.sent
