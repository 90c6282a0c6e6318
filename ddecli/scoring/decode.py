"""Decode images on threads, one batch ahead of the model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL import Image

from ddecli.core.errors import BadRow
from ddecli.core.images import loaded_image

T = TypeVar("T")


def decoded_batches(
    paths: Sequence[Path],
    transform: Callable[[Image.Image], T],
    batch_size: int,
    bad: dict[int, BadRow],
) -> Iterator[tuple[list[int], list[T]]]:
    """Yield (positions in `paths`, transformed RGB images); `bad` gets what cannot be decoded."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:

        def decoded(path: Path) -> T:
            with loaded_image(path) as image:
                return transform(image)

        def submit(start: int) -> list[tuple[int, Future[T]]]:
            stop = min(start + batch_size, len(paths))
            return [(position, pool.submit(decoded, paths[position])) for position in range(start, stop)]

        ahead = submit(0)
        for start in range(0, len(paths), batch_size):
            batch, ahead = ahead, submit(start + batch_size)
            positions, images = [], []
            for position, future in batch:
                try:
                    images.append(future.result())
                    positions.append(position)
                except BadRow as error:
                    bad[position] = error
            if positions:
                yield positions, images
