"""Which models a pair store fits: those whose loaded files hold the same numbers, and no others."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stored_models import STORED, TENSORS, bin_files, full_precision, networks, weights, with_other_files

from ddecli.core import digests as core_digests
from ddecli.core.errors import UserError
from ddecli.data.store import PairStore
from ddecli.models.digests import fingerprint, model_sha256, older_fingerprints
from ddecli.models.load import load_model

ENCODERS = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")


@pytest.fixture(params=["sd", "sdxl"])
def family_folder(request: pytest.FixtureRequest) -> Path:
    """A folder of each family."""
    return request.getfixturevalue(f"{request.param}_folder")


def change(file: Path) -> None:
    """Move one number of a file by a little."""
    tensors = torch.load(file) if file.suffix == ".bin" else load_file(file)
    first = next(value for value in tensors.values() if value.is_floating_point())
    first.view(-1)[0] += 1
    if file.suffix == ".bin":
        torch.save(tensors, file)
    else:
        save_file(tensors, file, TENSORS)


def test_one_model_stored_in_other_ways_is_one_model(family_folder: Path, tmp_path: Path) -> None:
    found = {name: fingerprint(store(family_folder, tmp_path / name)) for name, store in STORED.items()}
    same = {"full_precision", "half_by_configuration", "bin_files", "in_pieces", "with_other_files"}
    assert len({found[name] for name in same}) == 1
    assert found["half_precision"] == found["fp16_names_only"]
    assert len({found["full_precision"], found["half_precision"], found["mixed_precision"]}) == 3


@pytest.mark.parametrize("stored", ["full_precision", "bin_files", "in_pieces", "fp16_names_only"])
def test_a_changed_autoencoder_or_text_encoder_is_another_model(
    family_folder: Path, tmp_path: Path, stored: str
) -> None:
    base = STORED[stored](family_folder, tmp_path / "base")
    seen = {fingerprint(base)}
    for part in networks(base):
        if part.name != "unet":
            change(next(file for file in sorted(part.iterdir()) if file.suffix in {".bin", ".safetensors"}))
            assert fingerprint(base) not in seen
            seen.add(fingerprint(base))
    assert fingerprint(base) in seen  # and it stays so
    config = base / "vae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 0.5}))
    assert fingerprint(base) not in seen


def test_a_changed_unet_is_the_same_encoders_and_another_model(family_folder: Path, tmp_path: Path) -> None:
    base = full_precision(family_folder, tmp_path / "base")
    change(weights(base / "unet"))
    assert fingerprint(base) == fingerprint(family_folder)
    assert model_sha256(base) != model_sha256(family_folder)


@pytest.mark.parametrize("stored", STORED)
def test_a_trained_model_takes_its_base_s_pairs(family_folder: Path, tmp_path: Path, stored: str) -> None:
    base = load_model(str(STORED[stored](family_folder, tmp_path / "base")), encoders=False)
    base.save(tmp_path / "saved")
    assert fingerprint(tmp_path / "saved") == base.fingerprint


def older(folder: Path) -> str:
    """The fingerprint of earlier versions, as it was written then."""
    digest = hashlib.sha256()
    for part in ENCODERS:
        for path in sorted((folder / part).glob("*")):
            if path.suffix not in {".json", ".txt", ".safetensors"}:
                continue
            digest.update(f"{part}/{path.name}:{path.stat().st_size}".encode())
            content = path.read_bytes()
            digest.update(content[: 2**20] + content[max(0, len(content) - 2**20) :])
    return digest.hexdigest()[:16]


def test_stores_of_earlier_versions(sd_folder: Path, sd_store: Path, tmp_path: Path) -> None:
    """They are taken where their fingerprint read what is loaded, whether or not files were added since."""
    base = full_precision(sd_folder, tmp_path / "base")
    store = Path(shutil.copytree(sd_store, tmp_path / "pairs"))
    manifest = json.loads((store / "manifest.json").read_text())
    manifest["model"]["fingerprint"] = older(base)
    del manifest["content_sha256"]
    (store / "manifest.json").write_text(json.dumps(manifest))
    PairStore.open(store, load_model(str(base)).fingerprints)
    with_twins = with_other_files(sd_folder, tmp_path / "twins")
    PairStore.open(store, load_model(str(with_twins)).fingerprints)
    assert older(with_twins) in older_fingerprints(with_twins)
    change(weights(base / "vae"))
    with pytest.raises(UserError, match="prepared for another model"):
        PairStore.open(store, load_model(str(base)).fingerprints)
    assert older_fingerprints(bin_files(sd_folder, tmp_path / "bin")) == set()


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[str, int]]:
    """The remembered digest of a file, and how often it was computed so far; every file counts as big."""
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(core_digests, "BIG", 0)
    times = 0

    def digest(file: Path) -> tuple[str, int]:
        def compute() -> str:
            nonlocal times
            times += 1
            return hashlib.sha256(file.read_bytes()).hexdigest()

        return core_digests.remembered("content", [file], compute), times

    return digest


def test_a_big_file_is_read_once(
    counted: Callable[[Path], tuple[str, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights"
    file.write_bytes(b"one")
    first = counted(file)[0]
    assert counted(file) == (first, 2)  # it was written just now, and is not trusted yet
    monkeypatch.setattr(core_digests, "JUST_NOW", -1.0)
    assert [counted(file), counted(file)] == [(first, 3), (first, 3)]
    state = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert counted(file) == (hashlib.sha256(b"two").hexdigest(), 4)
    for kept in (tmp_path / "cache").rglob("*"):
        if kept.is_file():
            kept.write_text("damaged")
    assert counted(file)[0] == hashlib.sha256(b"two").hexdigest()


def test_several_processes_read_a_big_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(core_digests, "BIG", 0)
    monkeypatch.setattr(core_digests, "JUST_NOW", -1.0)
    file, reads = tmp_path / "weights", []
    file.write_bytes(b"one")

    def compute() -> str:
        reads.append(1)
        time.sleep(0.2)
        return hashlib.sha256(file.read_bytes()).hexdigest()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: core_digests.remembered("content", [file], compute), range(4)))
    assert (set(found), len(reads)) == ({hashlib.sha256(b"one").hexdigest()}, 1)


def test_a_number_in_the_middle_of_a_big_file(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")
    tensor, found = torch.zeros(3, 2**20), []
    for _ in range(2):
        save_file({"weight": tensor}, tmp_path / "vae" / "diffusion_pytorch_model.safetensors", TENSORS)
        found.append(fingerprint(tmp_path))
        tensor[1, 5] = 1
    assert found[0] != found[1]
