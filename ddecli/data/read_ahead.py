"""Pairs read and decoded in threads before they are asked for: so many of them, and so many bytes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ddecli.data.pairs import Pair

LOOK_AHEAD = 2
"""Chunks of pairs decoded in threads while one is encoded."""
READ_AHEAD = 64
"""Pairs read from the source, still undecoded, in a thread of its own: a shard of the hub is fetched meanwhile."""
BYTES_AHEAD = 512 * 2**20
"""Bytes of pictures read and not yet decoded at which reading waits; 64 pairs of a megabyte a picture have 128 MB."""
CHUNK_BYTES = 256 * 2**20
"""Bytes of pictures at which a chunk ends though it has fewer pairs than others."""
T = TypeVar("T")


def read_ahead(
    pairs: Iterable[Pair], size: int, decode: Callable[[Pair], T], workers: int
) -> Iterator[list[T]]:
    """Read pairs in chunks, the same whatever the timing, and decode `LOOK_AHEAD` chunks before they are asked for.

    Args:
        size: pairs of a chunk.
        decode: what is done with each pair; its result should not hold the pictures' bytes.
        workers: threads that decode.
    """
    source = iter(pairs)
    held = _Held()

    def read() -> list[Pair]:
        held.wait()
        return list(_chunk(source, size, held))

    def decoded(some: list[Pair]) -> list[T]:
        done = []
        some.reverse()
        while some:
            pair = some.pop()  # nothing else holds its pictures' bytes
            try:
                done.append(decode(pair))
            except BaseException:
                held.close()  # the rest is not decoded, and nobody may wait for it
                raise
            held.add(-_bytes(pair))
        return done

    def together(futures: list[Future[list[T]]]) -> list[T]:
        shares = [future.result() for future in futures]
        return [share[turn] for turn in range(len(shares[0])) for share in shares if turn < len(share)]

    depth = max(LOOK_AHEAD, READ_AHEAD // size)
    chunks: deque[Future[list[Pair]]] = deque()
    waiting: deque[list[Future[list[T]]]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(workers) as decoders:
        try:
            for _ in range(depth):
                chunks.append(reader.submit(read))
            while chunk := chunks.popleft().result():
                chunks.append(reader.submit(read))
                shares = range(
                    min(workers, len(chunk))
                )  # a task a pair would cost as much as a small picture
                waiting.append([decoders.submit(decoded, chunk[first::workers]) for first in shares])
                if len(waiting) > LOOK_AHEAD:
                    yield together(waiting.popleft())
            while waiting:
                yield together(waiting.popleft())
        finally:
            held.close()
            reader.shutdown(cancel_futures=True)
            decoders.shutdown(cancel_futures=True)


def _chunk(source: Iterator[Pair], size: int, held: _Held) -> Iterator[Pair]:
    count = total = 0
    while count < size and total < CHUNK_BYTES:
        pair = next(source, None)
        if pair is None:
            return
        held.add(_bytes(pair))
        count, total = count + 1, total + _bytes(pair)
        yield pair


def _bytes(pair: Pair) -> int:
    """Bytes of a pair's pictures that are in memory already."""
    return sum(len(image) for image in (pair.chosen, pair.rejected) if isinstance(image, bytes))


class _Held:
    """Bytes that are read and not yet decoded. Who waits is let go in the end: all of them are of earlier chunks."""

    def __init__(self) -> None:
        self._bytes, self._closed = 0, False
        self._changed = threading.Condition()

    def add(self, count: int) -> None:
        with self._changed:
            self._bytes += count
            self._changed.notify_all()

    def wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._bytes < BYTES_AHEAD)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
