"""Preparing: each picture and prompt once, what is dropped, what is left when it fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from full_disk import full_disk
from pair_data import pairs, picture, png
from PIL import Image

from ddecli.core.errors import BadRow, UserError
from ddecli.data import shards
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.pictures import read_picture
from ddecli.data.prepare import prepare
from ddecli.data.store import PairStore
from ddecli.data.summary import PrepareSummary


def run(model: Any, out: Path, some: list[Pair], **options: Any) -> PrepareSummary:
    return prepare(some, model, out, **({"source": "test", "total": len(some)} | options))


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


def test_latents_and_embeddings_are_the_models_own(model: Any, tmp_path: Path) -> None:
    some = pairs(7)
    summary = run(model, tmp_path / "store", some)
    assert (summary.pairs, summary.images, summary.prompts, summary.rows) == (7, 14, 6, 7)
    store = PairStore.open(tmp_path / "store", model.fingerprints)
    pixels = torch.stack([torch.from_numpy(np.array(picture(number))) for number in range(14)])
    expected = model.encode_images(pixels.permute(0, 3, 1, 2) / 127.5 - 1)
    torch.testing.assert_close(store.latents(store.chosen_index), expected[0::2])
    torch.testing.assert_close(store.latents(store.rejected_index), expected[1::2])
    embeds = model.encode_prompts([pair.prompt for pair in some])["prompt_embeds"]
    torch.testing.assert_close(store.conditioning(store.prompt_index)["prompt_embeds"], embeds)
    empty = store.conditioning(torch.tensor([store.empty_prompt_index]))["prompt_embeds"]
    torch.testing.assert_close(empty, model.encode_prompts([""])["prompt_embeds"])


def test_every_picture_and_prompt_is_encoded_once(model: Any, tmp_path: Path) -> None:
    some = [Pair(f"prompt {i % 3}", png(i % 4), png(4 + i % 5), str(i), "test") for i in range(60)]
    summary = run(model, tmp_path / "store", some, batch_size=4)
    assert model.images == summary.images == 9
    assert sorted(model.prompts) == ["", "prompt 0", "prompt 1", "prompt 2"]


def test_the_same_pixels_in_another_file_are_the_same_picture(model: Any, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    picture(0).save(buffer, "BMP")
    some = [Pair("a", png(0), png(1), "1", "test"), Pair("a", png(1), buffer.getvalue(), "2", "test")]
    assert run(model, tmp_path / "store", some).images == 2
    store = PairStore.open(tmp_path / "store")
    assert store.chosen_index.tolist() == store.rejected_index.tolist()[::-1]


def test_rows_without_a_preference_are_dropped_and_counted(model: Any, tmp_path: Path) -> None:
    some = [*pairs(3), pairs(1)[0], Pair("a", png(1), png(1), "same", "test")]
    rejects = Rejects()
    rejects.add("tie", BadRow("tie"))
    summary = run(model, tmp_path / "store", some, rejects=rejects, max_bad=0.0)
    assert summary.pairs == 3
    assert summary.dropped == {
        "tie": 1,
        "duplicate of another pair": 1,
        "chosen and rejected are the same picture": 1,
    }
    assert "bad-rows.jsonl" not in names(tmp_path / "store")


def test_batch_and_shard_sizes_change_nothing(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = pairs(11)
    run(model, tmp_path / "whole", some)
    monkeypatch.setattr(shards, "SHARD_BYTES", 3 * 4 * 8 * 8 * 4)
    run(model, tmp_path / "parts", some, batch_size=5)
    assert "latents-00007.safetensors" in names(tmp_path / "parts")
    whole, parts = PairStore.open(tmp_path / "whole"), PairStore.open(tmp_path / "parts")
    order = torch.randperm(22)
    torch.testing.assert_close(whole.latents(order), parts.latents(order))
    prompts = torch.tensor([5, 0, 3, 3])
    for key, value in whole.conditioning(prompts).items():
        torch.testing.assert_close(value, parts.conditioning(prompts)[key])


def test_the_same_input_gives_the_same_files(model: Any, tmp_path: Path) -> None:
    for out in ("a", "b"):
        run(model, tmp_path / out, pairs(5))
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize(("dtype", "stored"), [(None, "float32"), (torch.float16, "float16")])
def test_stored_precision(model: Any, tmp_path: Path, dtype: torch.dtype | None, stored: str) -> None:
    run(model, tmp_path / "store", pairs(2), dtype=dtype)
    store = PairStore.open(tmp_path / "store")
    assert store.manifest["dtype"] == stored
    assert store.latents(torch.arange(2)).dtype == torch.float32


def test_a_latent_that_is_not_finite_is_a_bad_row(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = model.model.encode_images

    def overflow(pixels: torch.Tensor) -> torch.Tensor:
        latents = encode(pixels)
        if model.images == 0:
            latents[1, 0, 0, 0] = float("nan")
        model.images += len(pixels)
        return latents

    monkeypatch.setattr(type(model), "encode_images", lambda _, pixels: overflow(pixels))
    some = [*pairs(4), Pair("again", png(2), png(1), "uses it too", "test")]
    summary = run(model, tmp_path / "store", some, max_bad=0.5)
    assert (summary.pairs, summary.dropped) == (3, {"latent not finite": 2})
    store = PairStore.open(tmp_path / "store")
    assert store.pair(0).pair_id == "row:1"
    assert store.latents(store.chosen_index).isfinite().all()
    assert '"row:0"' in (tmp_path / "store" / "bad-rows.jsonl").read_text()


def test_too_many_bad_rows_stop_early_and_are_listed(model: Any, tmp_path: Path) -> None:
    taken = 0

    def source() -> Iterator[Pair]:
        nonlocal taken
        for taken in range(1000):
            yield Pair("a", tmp_path / f"{taken}.png", png(0), f"row:{taken}", "test")

    with pytest.raises(UserError, match=r"of 1000 rows are bad.*--max-bad.*missing image.*bad-rows.jsonl"):
        prepare(source(), model, tmp_path / "store", source="test", total=1000, batch_size=8)
    assert taken < 100
    assert names(tmp_path) == ["store.bad-rows.jsonl"]


def test_limit_takes_the_first_pairs(model: Any, tmp_path: Path) -> None:
    assert run(model, tmp_path / "store", pairs(9), limit=4).pairs == 4
    assert PairStore.open(tmp_path / "store").pair(3).pair_id == "row:3"


def test_no_pair_left(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no usable pair: chosen and rejected are the same picture: 1"):
        run(model, tmp_path / "store", [Pair("a", png(0), png(0), "1", "test")])
    assert names(tmp_path) == []


def test_an_output_that_holds_something_is_refused(model: Any, tmp_path: Path) -> None:
    run(model, tmp_path / "store", pairs(1))
    with pytest.raises(UserError, match="--overwrite"):
        run(model, tmp_path / "store", pairs(2))
    assert run(model, tmp_path / "store", pairs(2), overwrite=True).pairs == 2
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="no pair store"):
        run(model, tmp_path / "home", pairs(1), overwrite=True)
    assert names(tmp_path / "home") == ["thesis.txt"]


@pytest.mark.parametrize("out", ["/proc/store", "file/store"])
def test_an_output_that_cannot_be_written(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(UserError, match="Cannot write"):
        run(model, Path(out), pairs(1))
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("limit", [2_000, 40_000])
def test_a_full_disk_damages_nothing_that_was_whole(model: Any, tmp_path: Path, limit: int) -> None:
    run(model, tmp_path / "store", pairs(3))
    before = {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()}
    with full_disk(limit), pytest.raises(UserError, match="Cannot write"):
        run(model, tmp_path / "store", pairs(60), overwrite=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "store").iterdir()} == before
    assert names(tmp_path) == ["store"]
    PairStore.open(tmp_path / "store")


def test_a_source_that_breaks_leaves_nothing(model: Any, tmp_path: Path) -> None:
    def source() -> Iterator[Pair]:
        yield from pairs(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source(), model, tmp_path / "store", source="test")
    assert names(tmp_path) == []


def test_too_little_memory_names_the_way_out(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any, pixels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(type(model), "encode_images", fail)
    with pytest.raises(UserError, match="--batch-size 32; halve it"):
        run(model, tmp_path / "store", pairs(2))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_wide_picture_is_cropped_around_its_centre() -> None:
    wide = Image.new("RGB", (200, 100), (255, 0, 0))
    wide.paste((0, 0, 255), (50, 0, 150, 100))
    seen = read_picture(encoded(wide, "PNG"), 32, ())
    assert seen.pixels is not None
    assert (seen.pixels[:, 4:-4] == (0, 0, 255)).all()
    resized = wide.resize((64, 32), Image.Resampling.LANCZOS)
    assert np.array_equal(seen.pixels, np.asarray(resized.crop((16, 0, 48, 32))))
    assert (seen.width, seen.height, seen.crop_top, seen.crop_left) == (200, 100, 0, 16)


def test_a_picture_of_the_right_size_keeps_every_pixel() -> None:
    seen = read_picture(png(3), 32, ())
    assert np.array_equal(seen.pixels, np.asarray(picture(3)))  # type: ignore[arg-type]


def test_a_rotated_photograph_is_turned_upright() -> None:
    upright = Image.new("RGB", (32, 64), (0, 255, 0))
    upright.paste((255, 255, 255), (0, 0, 32, 32))  # white above green
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 270 degrees to see it upright
    content = encoded(upright.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    seen = read_picture(content, 32, ())
    assert seen.pixels is not None
    assert (seen.width, seen.height) == (32, 64)
    assert (seen.pixels[:15] == 255).all()
    assert (seen.pixels[17:] == (0, 255, 0)).all()


@pytest.mark.parametrize(
    ("mode", "kind", "colour", "expected"),
    [
        ("CMYK", "JPEG", (0, 255, 255, 0), (255, 0, 0)),
        ("L", "PNG", 200, (200, 200, 200)),
        ("1", "PNG", 1, (255, 255, 255)),
        ("I;16", "PNG", 128 * 257, (128, 128, 128)),
        ("P", "PNG", 0, (0, 0, 0)),
        ("RGBA", "PNG", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", "PNG", (0, 0, 255, 255), (0, 0, 255)),
        ("LA", "PNG", (0, 0), (255, 255, 255)),
    ],
)
def test_every_kind_of_pixel_becomes_rgb(mode: str, kind: str, colour: Any, expected: Any) -> None:
    seen = read_picture(encoded(Image.new(mode, (40, 40), colour), kind), 32, ())
    assert seen.pixels is not None
    assert np.abs(seen.pixels.astype(int) - expected).max() <= 2


def test_a_palette_picture_with_transparency_lies_on_white() -> None:
    image = picture(1).quantize(8)
    seen = read_picture(encoded(image, "PNG", transparency=bytes([0] * 8)), 32, ())
    assert seen.pixels is not None
    assert (seen.pixels == 255).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encoded(picture(0, (64, 64)), "JPEG")[:900], "unreadable image"),
        (png(0)[:300], "unreadable image"),
        (b"<html>404 Not Found</html>", "unreadable image"),
        (b"", "unreadable image"),
        (png(0, (1, 1)), "image too small"),
        (png(0, (20_000, 2)), "image too small"),
    ],
)
def test_pictures_that_cannot_be_used(content: bytes, reason: str) -> None:
    with pytest.raises(BadRow) as error:
        read_picture(content, 32, ())
    assert error.value.reason == reason


def test_odd_pictures_that_can_be_used(tmp_path: Path) -> None:
    mislabelled = tmp_path / "really-a-jpeg.png"
    mislabelled.write_bytes(encoded(picture(0), "JPEG"))
    panorama = read_picture(png(0, (20_000, 16)), 32, ())
    assert panorama.crop_left == (20_000 - 16) // 2 * 2
    assert read_picture(mislabelled, 32, ()).width == 32
    with pytest.raises(BadRow, match="unreadable image"):
        read_picture(tmp_path, 32, ())  # a folder
    with pytest.raises(BadRow, match="missing image"):
        read_picture(tmp_path / "none.png", 32, ())
