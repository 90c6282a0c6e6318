"""`ddecli merge` as it is typed: what it says, what it writes, and one sentence for what it cannot use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_checks import assert_one_sentence, contents
from full_disk import full_disk
from kohya import kohya_names
from PIL import Image
from safetensors.torch import load_file, save_file

Run = Callable[..., Any]
LORA = "lora/model/pytorch_lora_weights.safetensors"
SAMPLE = ("--prompt", "a red circle", "--steps", 2, "--images-per-prompt", 1)


@pytest.fixture
def lora(ddecli: Run, sd_folder: Path, sd_store: Path) -> str:
    """A LoRA run."""
    given = ("--model", sd_folder, "--data", sd_store, "--out", "lora", "--device", "cpu", "--lora", 2)
    assert ddecli("train", *given, "--batch-size", 2, "--steps", 2, "--lr", 0.05, "--warmup", 0).code == 0
    return "lora"


def pixels(folder: Path) -> dict[str, bytes]:
    return {file.name: Image.open(file).tobytes() for file in sorted(folder.glob("*-0?.png"))}


def test_a_run_and_a_base_with_a_file(ddecli: Run, lora: str, sd_folder: Path) -> None:
    typed = ddecli("merge", lora, "--out", "merged")
    assert typed.code == 0, typed.error
    assert f"merged: lora, with {LORA} in it; fp32, " in typed.out
    typed = ddecli(
        "merge",
        sd_folder,
        "lora/model/lora-kohya.safetensors",
        "--out",
        "m.safetensors",
        "--dtype",
        "fp16",
        "--json",
    )
    found = json.loads(typed.out)
    assert found["loras"] == ["lora/model/lora-kohya.safetensors"] and found["dtype"] == "fp16"
    assert found["bytes"] == Path("m.safetensors").stat().st_size
    assert "which has no LoRA to merge" in ddecli("merge", sd_folder, "--out", "alone").out
    assert (
        contents("alone")["unet/diffusion_pytorch_model.safetensors"]
        != contents("merged")["unet/diffusion_pytorch_model.safetensors"]
    )


def test_a_model_with_a_file_on_top_is_sampled_and_trained(
    ddecli: Run, lora: str, sd_folder: Path, sd_store: Path
) -> None:
    """`MODEL+FILE` is a model like any other; what is trained from it lies on top of both."""
    save_file(kohya_names(load_file(LORA)), "my style.safetensors")
    name = f"{sd_folder}+my style.safetensors"
    assert ddecli("sample", name, *SAMPLE).code == 0
    assert ddecli("sample", lora, *SAMPLE).code == 0
    of_file, of_run = (pixels(Path("images", each)) for each in (f"{sd_folder.name}+my style", "lora"))
    assert of_file == of_run
    given = (
        "--data",
        sd_store,
        "--device",
        "cpu",
        "--batch-size",
        2,
        "--steps",
        2,
        "--lr",
        0.05,
        "--warmup",
        0,
    )
    for more in ((), ("--lora", 2)):
        out = f"trained{len(more)}"
        typed = ddecli("train", "--model", name, *given, "--out", out, *more)
        assert typed.code == 0, typed.error
        assert ddecli("sample", out, *SAMPLE).code == 0
        assert ddecli("merge", out, "--out", f"merged-{out}").code == 0
        assert ddecli("sample", f"merged-{out}", *SAMPLE).code == 0
    Path("my style.safetensors").write_bytes(Path(LORA).read_bytes()[:-8] + b"\1" * 8)
    assert_one_sentence(
        ddecli("sample", "trained2", *SAMPLE, "--out", "x"), "have changed since the LoRA run trained2"
    )


@pytest.mark.parametrize("out", ["out", "out.safetensors"])
def test_what_cannot_be_merged(ddecli: Run, lora: str, sd_folder: Path, sdxl_folder: Path, out: str) -> None:
    def refused(*words: object, says: str) -> None:
        assert_one_sentence(ddecli("merge", *words, "--out", out), says)
        assert not Path(out).exists()

    state = load_file(LORA)
    refused(sdxl_folder, LORA, says="do not fit")
    refused(sd_folder, "nowhere.safetensors", says="there is no file of LoRA weights nowhere.safetensors")
    Path("lora.ckpt").write_bytes(b"x")
    refused(sd_folder, "lora.ckpt", says="may hold code")
    Path("text.safetensors").write_text("hello")
    refused(sd_folder, "text.safetensors", says="is no whole .safetensors file")
    Path("empty").mkdir()
    refused(sd_folder, "empty", says="no LoRA weights")
    name = next(iter(state))
    save_file(state | {name: state[name] * float("nan")}, "nan.safetensors")
    refused(sd_folder, "nan.safetensors", says="not finite")
    save_file(kohya_names(state) | {"lora_unet_x.dora_scale": state[name].clone()}, "dora.safetensors")
    refused(sd_folder, "dora.safetensors", says="belongs to no LoRA that diffusers reads")
    Path("cut.safetensors").write_bytes(Path(LORA).read_bytes()[:-10])
    refused(sd_folder, "cut.safetensors", says="is no whole .safetensors file")
    with full_disk(4_000):
        refused(lora, says=f"Cannot write {out}")


def test_what_is_there_is_not_replaced(ddecli: Run, lora: str) -> None:
    Path("folder").mkdir()
    Path("folder/mine.txt").write_text("mine")
    Path("file.safetensors").write_text("mine")
    assert_one_sentence(ddecli("merge", lora, "--out", "folder"), "folder is not empty")
    assert_one_sentence(ddecli("merge", lora, "--out", "file.safetensors"), "is there already")
    assert_one_sentence(ddecli("merge", lora, "--out", "folder/x.ckpt"), "a .ckpt file may hold code")
    assert contents("folder") == {"mine.txt": b"mine"} and Path("file.safetensors").read_text() == "mine"
