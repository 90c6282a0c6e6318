"""Parts: killed and gone on with, shared between processes, joined to the same store."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from averaging_model import Averaging
from full_disk import full_disk
from pair_data import png

from ddecli.core.errors import BadRow, UserError
from ddecli.core.images import loaded_image
from ddecli.data import index, job, join, parts, pictures, read_ahead, shards, tables, work
from ddecli.data.pairs import Pair, Rejects
from ddecli.data.prepare import prepare_source
from ddecli.data.sources.base import Part, Source
from ddecli.data.splits import PromptSplit
from ddecli.data.store import PairStore
from ddecli.data.summary import PrepareSummary

SIZE = (8, 8)


def some_pairs(count: int) -> list[Pair]:
    """Pairs with pictures and prompts that come back later, duplicates, and pairs of one picture twice."""
    made = [
        Pair(f"prompt {i % 7}", png(i % 11, SIZE), png(20 + i % 5, SIZE), f"row:{i}", "test")
        for i in range(count)
    ]
    return [*made, Pair("same", png(1, SIZE), png(1, SIZE), "same", "test")]


def in_parts(pairs: Sequence[Pair], size: int, hook: Callable[[Pair], object] = lambda pair: None) -> Source:
    """A source whose parts have `size` pairs; `hook` is called before each is given out."""

    def reader(chunk: Sequence[Pair]) -> Callable[[Rejects], Iterator[Pair]]:
        def read(rejects: Rejects) -> Iterator[Pair]:
            for pair in chunk:
                hook(pair)
                if pair.pair_id.endswith("9"):
                    rejects.add(pair.pair_id, BadRow("tie"))
                    continue
                yield pair

        return read

    chunks = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    return Source("test", "test", [Part(str(i), reader(chunk), len(chunk)) for i, chunk in enumerate(chunks)])


def run(out: Path, source: Source, model: Any = None, **options: Any) -> PrepareSummary:
    return prepare_source(source, model or Averaging(), out, **({"batch_size": 4} | options))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def latents_by_pair(folder: Path) -> dict[str, tuple[str, torch.Tensor, torch.Tensor, torch.Tensor]]:
    store = PairStore.open(folder)
    words = store.conditioning(store.prompt_index)["prompt_embeds"]
    chosen, rejected = store.latents(store.chosen_index), store.latents(store.rejected_index)
    return {
        store.pair(i).pair_id: (store.pair(i).prompt, words[i], chosen[i], rejected[i])
        for i in range(len(store))
    }


def assert_same_pairs(one: Path, other: Path) -> None:
    """The same pairs in the same order, with the same tensors."""
    first, second = latents_by_pair(one), latents_by_pair(other)
    assert list(first) == list(second)
    for key, (prompt, *tensors) in first.items():
        assert prompt == second[key][0]
        for a, b in zip(tensors, second[key][1:], strict=True):
            assert torch.equal(a, b)


def test_parts_change_nothing_and_encode_each_picture_once(tmp_path: Path) -> None:
    whole, split = Averaging(), Averaging()
    first = run(tmp_path / "whole", in_parts(some_pairs(40), 100), whole)
    second = run(tmp_path / "parts", in_parts(some_pairs(40), 6), split)
    assert sum(whole.batches) == sum(split.batches) == first.images == second.images == 16
    assert sorted(split.prompts) == ["", *(f"prompt {i}" for i in range(7))]
    assert (first.pairs, first.dropped) == (second.pairs, second.dropped)
    assert first.dropped["tie"] == 4
    assert_same_pairs(tmp_path / "whole", tmp_path / "parts")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts", "whole"]


def test_duplicates_are_out_before_batches_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = Counter[bytes]()

    def loaded(content: bytes) -> Any:
        decoded[content] += 1
        return loaded_image(content)

    monkeypatch.setattr(pictures, "loaded_image", loaded)
    model = Averaging()
    run(tmp_path / "whole", in_parts(some_pairs(40), 100), model)
    assert model.batches == [4, 4, 4, 4]
    assert set(decoded.values()) == {1}
    monkeypatch.setattr(parts, "WAITING", 0)  # no row waits until its batch is full
    hasty = Averaging()
    run(tmp_path / "hasty", in_parts(some_pairs(40), 100), hasty)
    assert sum(hasty.batches) == 16
    assert len(hasty.batches) > 4
    assert_same_pairs(tmp_path / "whole", tmp_path / "hasty")


def killed(work: Callable[[], object]) -> None:
    """Do some work in a process that is killed (-9) in it."""
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)  # a forked process has none of its parent's threads, and would wait for them
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(number: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is killed instead of being called for the `number`-th time."""
    calls = iter(range(number))
    return lambda *given, **named: die() if next(calls, None) is None else function(*given, **named)


PLACES: list[tuple[Any, str, int]] = [
    (parts, "write_sealed", 0),  # a part is encoded, but not whole
    (parts, "write_sealed", 3),
    (job, "join_split", 0),  # all parts are whole
    (job, "join_split", 1),
    (job, "write_sealed", 0),  # the tensors are moved, the manifest is not written
    (job, "write_sealed", 1),
    (shutil, "rmtree", 0),  # the parts are to be removed
    (job, "replace_folder", 0),
    (job, "replace_folder", 1),  # the held-out pairs are in place, the others are not
]


@pytest.mark.parametrize(("module", "name", "number"), PLACES)
def test_killed_and_gone_on_with_gives_the_same_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, number: int
) -> None:
    pairs, split = some_pairs(30), PromptSplit(holdout=0.4)
    run(tmp_path / "a" / "store", in_parts(pairs, 6), Averaging(rounds=True), split=split)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, die_at(number, getattr(module, name)))
        killed(lambda: run(tmp_path / "b" / "store", in_parts(pairs, 6), Averaging(rounds=True), split=split))
    run(tmp_path / "b" / "store", in_parts(pairs, 6), Averaging(rounds=True), split=split)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert len(PairStore.open(tmp_path / "b" / "store-holdout")) > 0


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(
    "name", ["part.json", "train/pairs.parquet", "train/images.parquet", "train/prompts.parquet"]
)
def test_a_part_that_has_changed_is_not_gone_on_with(tmp_path: Path, name: str, shards: int) -> None:
    source, out = in_parts(some_pairs(30), 6), tmp_path / "store"
    run(out, source, shard=(1, 2))
    file = tmp_path / "store.parts" / "parts" / "00000" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 2
    file.write_bytes(content)
    with pytest.raises(
        UserError, match=rf"{file.name} .*[:;] remove .*parts/00000 and run ddecli prepare again"
    ):
        run(out, source, shard=(shards, shards))
    shutil.rmtree(tmp_path / "store.parts" / "parts" / "00000")
    run(out, source)
    run(tmp_path / "whole", source)
    assert latents_by_pair(out).keys() == latents_by_pair(tmp_path / "whole").keys()


@pytest.mark.parametrize("name", ["_move", "_select", "save_file", "file_entry"])
@pytest.mark.parametrize("number", [0, 1])
def test_killed_while_shares_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """Two processes have encoded the same pictures and prompts: one of each is left out in the join."""
    source = in_parts(some_pairs(40), 6)
    for folder in ("a", "b"):
        run(tmp_path / folder / "store", source, shard=(1, 2))
    run(tmp_path / "a" / "store", source, shard=(2, 2))
    with monkeypatch.context() as patch:
        patch.setattr(join, name, die_at(number, getattr(join, name)))
        killed(lambda: run(tmp_path / "b" / "store", source, shard=(2, 2)))
    run(tmp_path / "b" / "store", source)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_killed_while_reading_it_goes_on_behind_the_last_whole_part(tmp_path: Path) -> None:
    pairs = some_pairs(30)
    run(tmp_path / "a" / "store", in_parts(pairs, 6), Averaging(rounds=True))
    killed(
        lambda: run(
            tmp_path / "b" / "store",
            in_parts(pairs, 6, lambda pair: die() if pair.pair_id == "row:20" else None),
            Averaging(rounds=True),
        )
    )
    read: list[str] = []
    again = in_parts(pairs, 6, lambda pair: read.append(pair.pair_id))
    run(tmp_path / "b" / "store", again, Averaging(rounds=True))
    assert read[0] == "row:18"
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_full_disk_leaves_whole_parts_and_the_next_run_goes_on(tmp_path: Path) -> None:
    pairs = [Pair("a", png(2 * i, SIZE), png(2 * i + 1, SIZE), f"row:{i}", "test") for i in range(30)]
    run(tmp_path / "a" / "store", in_parts(pairs, 10))
    read: list[str] = []

    def third_part(pair: Pair) -> None:
        if pair.pair_id == "row:20":
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match=r"Cannot write .*No space left.* 2 of 4 parts are finished and kept"):
        run(tmp_path / "b" / "store", in_parts([*pairs, pairs[0]], 10, third_part))
    assert not (tmp_path / "b" / "store").exists()
    run(tmp_path / "b" / "store", in_parts([*pairs, pairs[0]], 10, lambda pair: read.append(pair.pair_id)))
    assert read[0] == "row:20"
    assert_same_pairs(tmp_path / "a" / "store", tmp_path / "b" / "store")


def test_a_disk_that_the_join_fills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses every file of the join that is not small; parts stay, and the next run joins them."""
    run(tmp_path / "a" / "store", in_parts(some_pairs(30), 6))
    join_split = job.join_split

    def on_a_full_disk(*given: Any) -> Any:
        with full_disk(500):
            return join_split(*given)

    with monkeypatch.context() as patch:
        patch.setattr(job, "join_split", on_a_full_disk)
        with pytest.raises(UserError, match="Cannot write .*6 of 6 parts are finished and kept"):
            run(tmp_path / "b" / "store", in_parts(some_pairs(30), 6))
    run(tmp_path / "b" / "store", in_parts(some_pairs(30), 6, die))  # nothing is read again
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_shares_in_any_order_are_joined_by_the_last(tmp_path: Path, order: tuple[int, ...]) -> None:
    pairs, split = some_pairs(40), PromptSplit(holdout=0.4)
    alone = run(tmp_path / "alone", in_parts(pairs, 6), split=split)
    summaries = [run(tmp_path / "shared", in_parts(pairs, 6), split=split, shard=(i, 3)) for i in order]
    assert [summary.complete for summary in summaries] == [False, False, True]
    last = summaries[-1]
    for name in ("pairs", "rows", "dropped", "images", "prompts", "upscaled_images", "long_prompts"):
        assert getattr(last, name) == getattr(alone, name)
    assert last.holdout_pairs == alone.holdout_pairs > 0
    assert_same_pairs(tmp_path / "alone", tmp_path / "shared")
    assert_same_pairs(tmp_path / "alone-holdout", tmp_path / "shared-holdout")
    late = run(tmp_path / "shared", in_parts(pairs, 6, die), split=split, shard=(2, 3))
    assert late.complete  # and nothing was read
    names = ["alone", "alone-holdout", "shared", "shared-holdout"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_shares_at_the_same_time(tmp_path: Path) -> None:
    pairs = some_pairs(60)
    run(tmp_path / "alone", in_parts(pairs, 6))
    children = []
    for number in range(1, 4):
        child = os.fork()
        if child == 0:
            torch.set_num_threads(1)
            code = 1
            try:
                run(tmp_path / "shared", in_parts(pairs, 6), shard=(number, 3))
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    assert_same_pairs(tmp_path / "alone", tmp_path / "shared")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "shared"]


def test_without_a_share_the_missing_parts_are_done(tmp_path: Path) -> None:
    run(tmp_path / "alone", in_parts(some_pairs(40), 6))
    run(tmp_path / "shared", in_parts(some_pairs(40), 6), shard=(2, 3))
    read: list[str] = []
    summary = run(tmp_path / "shared", in_parts(some_pairs(40), 6, lambda pair: read.append(pair.pair_id)))
    assert summary.complete
    assert "row:6" not in read
    assert_same_pairs(tmp_path / "alone", tmp_path / "shared")


def test_who_comes_second_waits_and_finds_the_store(tmp_path: Path) -> None:
    children: list[int] = []

    def another(pair: Pair) -> None:
        """While this process works, a second one begins, which says that it waits."""
        if pair.pair_id != "row:1":
            return
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                torch.set_num_threads(1)
                os.closerange(3, writer)  # the lock of its parent among them
                os.closerange(writer + 1, 256)
                said = SimpleNamespace(print=lambda text, **_: os.write(writer, text.encode()))
                work.console = job.console = said  # type: ignore[assignment]
                summary = run(tmp_path / "store", in_parts(some_pairs(8), 4, die))  # it reads no pair
                code = 0 if summary.complete and summary.pairs == 8 else 2
            finally:
                os._exit(code)
        children.append(child)
        os.close(writer)
        assert b"Another ddecli prepare works in" in os.read(reader, 1000)  # open until the end: it says more

    assert run(tmp_path / "store", in_parts(some_pairs(8), 4, another)).pairs == 8
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_a_finished_store_is_complete_for_the_same_inputs_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, split = tmp_path / "store", PromptSplit(holdout=0.4)
    first = run(out, in_parts(some_pairs(30), 6), split=split)
    before = contents(tmp_path)
    again = run(out, in_parts(some_pairs(30), 6, die), split=split)  # nothing is read
    assert replace(again, seconds=0) == replace(first, seconds=0)
    assert "is complete" in capsys.readouterr().err
    for source, options in (
        (in_parts(some_pairs(30), 5), {"split": split}),
        (in_parts(some_pairs(29), 6), {"split": split}),
        (in_parts(some_pairs(30), 6), {}),
        (in_parts(some_pairs(30), 6), {"split": split, "limit": 4}),
        (in_parts(some_pairs(30), 6), {"split": split, "dtype": torch.float16}),
    ):
        with pytest.raises(UserError, match="exists already, with other data or settings"):
            run(out, source, **options)
    assert contents(tmp_path) == before
    read: list[str] = []
    run(out, in_parts(some_pairs(30), 6, lambda pair: read.append(pair.pair_id)), split=split, overwrite=True)
    assert len(read) == 31


def interrupt(pair: Pair) -> None:
    if pair.pair_id == "row:20":
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"split": PromptSplit(holdout=0.2)}, "prompts"),
        ({"dtype": torch.float16}, "dtype"),
        ({"limit": 3}, "limit"),
        ({"source": in_parts(some_pairs(30), 5)}, "parts"),
    ],
)
def test_parts_of_other_settings_are_not_mixed_in(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "store", in_parts(some_pairs(30), 6, interrupt))
    source = change.pop("source", in_parts(some_pairs(30), 6))
    with pytest.raises(UserError, match=rf"store\.parts holds parts made with other settings \({key} differ"):
        run(tmp_path / "store", source, **change)
    shutil.rmtree(tmp_path / "store.parts")
    run(tmp_path / "store", source, **change)


def test_another_batch_size_may_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "store", in_parts(some_pairs(30), 6, interrupt), batch_size=8)
    assert run(tmp_path / "store", in_parts(some_pairs(30), 6), batch_size=2).complete


def test_a_limit_ends_in_the_midst_of_a_part(tmp_path: Path) -> None:
    read: list[str] = []
    source = in_parts(some_pairs(40), 6, lambda pair: read.append(pair.pair_id))
    summary = run(tmp_path / "store", source, limit=8, batch_size=2)
    assert list(latents_by_pair(tmp_path / "store")) == [f"row:{i}" for i in range(8)]
    assert summary.rows == 8
    assert "row:12" not in read
    with pytest.raises(UserError, match="--limit .*leave out --shard"):
        run(tmp_path / "other", source, limit=8, shard=(1, 2))


def test_bad_rows_of_all_parts_are_listed_and_a_larger_share_goes_on(tmp_path: Path) -> None:
    pairs = [
        Pair(pair.prompt, b"<html>404</html>", pair.rejected, pair.pair_id, "test") if i % 10 == 0 else pair
        for i, pair in enumerate(some_pairs(30))
    ]
    unknown = Source("test", "test", [Part(p.name, p.read) for p in in_parts(pairs, 6).parts])
    with pytest.raises(UserError, match="4 of 31 rows are bad.* 6 of 6 parts are finished and kept"):
        run(tmp_path / "store", unknown)
    listed = tmp_path / "store.bad-rows.jsonl"
    bad = ["row:0", "row:10", "row:20", "same"]
    assert [line.split('"')[3] for line in listed.read_text().splitlines()] == bad
    assert "an HTML page" in listed.read_text()
    run(tmp_path / "store", unknown, max_bad=0.2)
    assert (tmp_path / "store" / "bad-rows.jsonl").read_bytes() == listed.read_bytes()
    assert "bad-rows.jsonl" in PairStore.open(tmp_path / "store").manifest["files"]


def test_a_picture_whose_latent_is_not_finite_is_tried_once_however_often_it_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflowing(Averaging):
        def encode_images(self, pixels: torch.Tensor) -> torch.Tensor:
            latents = super().encode_images(pixels)
            return latents.where((latents - self.bad).abs().amax((1, 2, 3), keepdim=True) > 1e-6, torch.nan)

    seen = parts.read_picture(png(3, SIZE), 8)
    assert seen.pixels is not None
    pixels = torch.from_numpy(seen.pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    Overflowing.bad = Averaging().encode_images(pixels)  # type: ignore[attr-defined]
    options: dict[str, Any] = {"max_bad": 0.2}
    model = Overflowing()
    summary = run(tmp_path / "a" / "store", in_parts(some_pairs(30), 6), model, **options)
    assert summary.dropped["latent not finite"] == 3  # rows 3, 14 and 25
    bad = (tmp_path / "a" / "store" / "bad-rows.jsonl").read_text()
    assert [line.split('"')[3] for line in bad.splitlines()] == ["row:3", "row:14", "row:25"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "b" / "store", in_parts(some_pairs(30), 6, interrupt), Overflowing(), **options)
    after = Overflowing()
    run(tmp_path / "b" / "store", in_parts(some_pairs(30), 6), after, **options)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert sum(after.batches) < sum(model.batches)


def test_memory_does_not_grow_with_the_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Python's and NumPy's memory at its highest, for nine times the pairs; pictures are drawn as they are read."""
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 20)
    monkeypatch.setattr(index, "IN_MEMORY", 20)
    monkeypatch.setattr(read_ahead, "READ_AHEAD", 8)
    monkeypatch.setattr(shards, "SHARD_BYTES", 4000)
    monkeypatch.setattr(
        os, "cpu_count", lambda: 1
    )  # of the buffers of 262 kB in which files are hashed: one at a time

    def drawn(size: int) -> Source:
        def reader(part: int) -> Callable[[Rejects], Iterator[Pair]]:
            return lambda rejects: (
                Pair(f"prompt {i}", png(2 * i, SIZE), png(2 * i + 1, SIZE), f"row:{i}", "test")
                for i in range(part * size, (part + 1) * size)
            )

        return Source("test", "test", [Part(str(i), reader(i), size) for i in range(3)])

    class Forgetful(Averaging):
        """Keeps no list of what it was asked, which would grow with the pairs."""

        def encode_prompts(self, prompts: list[str]) -> dict[str, torch.Tensor]:
            self.prompts, self.batches = [], []
            return super().encode_prompts(prompts)

    def highest(size: int) -> int:
        source = drawn(size)
        gc.collect()
        tracemalloc.start()
        try:
            found = run(tmp_path / str(size), source, Forgetful(), workers=1, batch_size=8, overwrite=True)
            assert found.pairs == 3 * size
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    highest(5)  # what is imported and cached once
    gc.freeze()  # nor is it looked through each time
    # Python lets 700 unused objects lie before it looks for them, some 300 kB that 75 pairs may not reach yet.
    request.addfinalizer(partial(gc.set_threshold, *gc.get_threshold()))
    gc.set_threshold(20)
    # Thrice each: how far the threads are at the highest point is chance, and only ever adds. That a table of names is
    # just growing adds up to 80 kB more, in one process and not in the next: shared by 600 pairs it hides nothing.
    few, many = (min(highest(size) for _ in range(3)) for size in (25, 225))
    # Bytes a pair, some 100 of them such chance. As Python's objects its pictures' digests and sizes and its prompt
    # would be more than 1,000.
    assert (many - few) / 600 < 400
