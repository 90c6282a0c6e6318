"""Pictures and pairs to prepare."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from ddecli.data.pairs import Pair


def picture(number: int, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture that no other number gives."""
    rng = np.random.default_rng(number)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def png(number: int, size: tuple[int, int] = (32, 32)) -> bytes:
    """The same, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture(number, size).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(folder: Path, rows: list[dict[str, object]], pictures: int = 0) -> Path:
    """A folder with metadata.jsonl and pictures 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(pictures):
        (folder / f"{number}.png").write_bytes(png(number))
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


def tar(path: Path, files: dict[str, bytes | str], mode: str = "w") -> Path:
    """Write a tar of some files; texts are UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def pairs(count: int) -> list[Pair]:
    """Pairs of pictures that no other pair has; five prompts."""
    return [Pair(f"prompt {i % 5}", png(2 * i), png(2 * i + 1), f"row:{i}", "test") for i in range(count)]
