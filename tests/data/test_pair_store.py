"""The pair store: what it says, what it refuses, how much of it comes into memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pair_data import pairs, png

from ddecli.core.digests import file_entry
from ddecli.core.errors import UserError
from ddecli.core.sealed import SEAL, write_sealed
from ddecli.data.pairs import Pair
from ddecli.data.prepare import prepare
from ddecli.data.shards import ShardReader, ShardWriter
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel


@pytest.fixture(scope="module")
def whole(loaded: DiffusionModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store nobody writes to."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    some = [*pairs(20), Pair("wide", png(90, (80, 40)), png(91, (30, 90)), "wide", "test")]
    prepare(some, loaded, folder, source="test")
    return folder


@pytest.fixture
def store(whole: Path, tmp_path: Path) -> Path:
    """A copy to be damaged."""
    return Path(shutil.copytree(whole, tmp_path / "store"))


def test_a_pair_in_words(whole: Path) -> None:
    store = PairStore.open(whole)
    assert len(store) == 21
    pair = store.pair(6)
    assert (pair.pair_id, pair.prompt, pair.source) == ("row:6", "prompt 1", "test")
    assert len(pair.chosen_sha256) == 64
    assert store.prompt(store.empty_prompt_index) == ""


def test_sizes_for_sdxl(whole: Path) -> None:
    store = PairStore.open(whole)
    both = torch.stack([store.chosen_index[20], store.rejected_index[20]])
    assert store.sizes(both).tolist() == [[40, 80, 0, 16, 32, 32], [90, 30, 32, 0, 32, 32]]
    assert store.sizes(store.chosen_index[:1]).tolist() == [[32, 32, 0, 0, 32, 32]]


def test_a_store_of_another_model_is_refused(whole: Path, loaded: DiffusionModel) -> None:
    PairStore.open(whole, loaded.fingerprints)
    with pytest.raises(UserError, match="another model"):
        PairStore.open(whole, {"0123456789abcdef"})


def edit_manifest(change: Callable[[dict], object]) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        path = store / "manifest.json"
        manifest = json.loads(path.read_text())
        change(manifest)
        del manifest[SEAL]
        write_sealed(path, manifest)

    return damage


def cut(name: str) -> Callable[[Path], None]:
    def damage(store: Path) -> None:
        content = (store / name).read_bytes()
        (store / name).write_bytes(content[: len(content) // 2])

    return damage


def cut_and_hidden(name: str) -> Callable[[Path], None]:
    """Cut a file and make the manifest agree, so that only the file's own reader can notice."""

    def damage(store: Path) -> None:
        cut(name)(store)
        edit_manifest(lambda manifest: manifest["files"].update({name: file_entry(store / name)}))(store)

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda store: shutil.rmtree(store), "is no pair store"),
        (lambda store: (store / "manifest.json").unlink(), "is no pair store"),
        (lambda store: (store / "manifest.json").write_text("{"), "cannot be read as JSON"),
        (lambda store: (store / "manifest.json").write_text("[]"), "manifest.json is damaged"),
        (lambda store: (store / "manifest.json").write_text("{}"), "of format None"),
        (
            lambda store: (store / "manifest.json").write_text(
                (store / "manifest.json").read_text().replace('"resolution": 32', '"resolution": 33')
            ),
            "manifest.json has changed since it was written: run ddecli prepare again with --overwrite",
        ),
        (
            edit_manifest(lambda manifest: manifest.update(format=1)),
            "of format 1, this version reads format 2",
        ),
        (edit_manifest(lambda manifest: manifest.pop("shard_rows")), "manifest.json is damaged"),
        (edit_manifest(lambda manifest: manifest["shard_rows"].pop("latents")), "manifest.json is damaged"),
        (edit_manifest(lambda manifest: manifest["files"].pop("pairs.parquet")), "manifest.json is damaged"),
        (edit_manifest(lambda manifest: manifest.update(empty_prompt_index=99)), "manifest.json is damaged"),
        (
            edit_manifest(lambda manifest: manifest.update(latent_shape=[4, -8, 8])),
            "manifest.json is damaged",
        ),
        (lambda store: (store / "images.parquet").unlink(), "images.parquet is missing"),
        (cut("latents-00000.safetensors"), "latents-00000.safetensors has .* bytes"),
        (cut("pairs.parquet"), "pairs.parquet has .* bytes"),
        (cut_and_hidden("latents-00000.safetensors"), "latents-00000.safetensors is missing or damaged"),
        (cut_and_hidden("prompt-embeddings-00000.safetensors"), "embeddings-00000.* is missing or damaged"),
        (cut_and_hidden("pairs.parquet"), "pairs.parquet is missing or damaged"),
    ],
)
def test_a_damaged_store_is_named(store: Path, damage: Callable[[Path], None], sentence: str) -> None:
    damage(store)
    with pytest.raises(UserError, match=sentence):
        PairStore.open(store)


@pytest.mark.parametrize(
    "name",
    ["latents-00000.safetensors", "prompt-embeddings-00000.safetensors", "pairs.parquet", "images.parquet"],
)
def test_a_flipped_bit_is_noticed_when_the_store_is_opened(store: Path, name: str) -> None:
    content = bytearray((store / name).read_bytes())
    content[len(content) // 2] ^= 1
    (store / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} has changed since it was written: .* --overwrite\.$"):
        PairStore.open(store)


def test_a_manifest_of_an_earlier_version_has_no_digest(store: Path) -> None:
    manifest = json.loads((store / "manifest.json").read_text())
    del manifest[SEAL]
    (store / "manifest.json").write_text(json.dumps(manifest))
    assert len(PairStore.open(store)) == manifest["counts"]["pairs"]


def test_reading_maps_the_file_and_does_not_load_it(tmp_path: Path) -> None:
    rows, width = 4096, 4096  # 64 MB
    writer = ShardWriter(tmp_path, "x", torch.float32)
    for start in range(0, rows, 512):
        number = torch.arange(start, start + 512, dtype=torch.float32)
        writer.append({"x": number[:, None].expand(-1, width)})
    writer.close()
    reader = ShardReader(tmp_path, "x", writer.shard_rows)
    before = private_bytes()
    indices = torch.arange(0, rows, 100)
    assert torch.equal(reader(indices)["x"][:, 7], indices.float())
    assert private_bytes() - before < 16e6


def test_texts_are_read_when_they_are_asked_for(store: Path) -> None:
    texts = pa.table({"text": [letter * 8_000_000 for letter in "abcdefg"]})  # 56 MB
    pq.write_table(texts, store / "prompts.parquet", use_dictionary=False)
    entry = file_entry(store / "prompts.parquet")
    edit_manifest(lambda manifest: manifest["files"].update({"prompts.parquet": entry}))(store)
    before = pa.total_allocated_bytes()
    opened = PairStore.open(store)
    assert pa.total_allocated_bytes() - before < 1e6
    assert len(opened.prompt(1)) == 8_000_000


def private_bytes() -> float:
    """Memory of this process that no file stands behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
