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
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers) as pool:

        def decoded(share: Sequence[int]) -> list[tuple[int, T | BadRow]]:
            return [(position, _decoded(paths[position], transform)) for position in share]

        def submit(start: int) -> list[Future[list[tuple[int, T | BadRow]]]]:
            batch = range(start, min(start + batch_size, len(paths)))
            # a task a picture would cost as much as a small one
            return [pool.submit(decoded, batch[first::workers]) for first in range(min(workers, len(batch)))]

        ahead = submit(0)
        for start in range(0, len(paths), batch_size):
            batch, ahead = ahead, submit(start + batch_size)
            found = sorted((each for share in batch for each in share.result()), key=lambda each: each[0])
            positions, images = [], []
            for position, image in found:
                if isinstance(image, BadRow):
                    bad[position] = image
                else:
                    positions.append(position)
                    images.append(image)
            if positions:
                yield positions, images


def _decoded(path: Path, transform: Callable[[Image.Image], T]) -> T | BadRow:
    try:
        with loaded_image(path) as image:
            return transform(image)
    except BadRow as error:
        return error
