"""The stages of making a pair store: encode the parts, join them, rename the result into place."""

from __future__ import annotations

import json
import math
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ddecli.core.console import console, progress
from ddecli.core.digests import file_entry
from ddecli.core.errors import NotPermitted, UserError
from ddecli.core.files import atomic_file, atomic_folder, replace_folder, sha256_text
from ddecli.core.manifest import versions
from ddecli.core.sealed import read_sealed, write_sealed
from ddecli.data.index import Encoded
from ddecli.data.join import join_split
from ddecli.data.pairs import DUPLICATE, EXPECTED_REASONS, NOT_FINITE, Rejects, count_bad
from ddecli.data.parts import PART, Encoder, Watch, encode_part, read_part, recall_part
from ddecli.data.shards import PREPARE_AGAIN
from ddecli.data.sources.base import Source
from ddecli.data.splits import HOLDOUT, TRAIN
from ddecli.data.store import BAD_ROWS, FORMAT_VERSION, MANIFEST
from ddecli.data.summary import PrepareSummary, notes_of, of_share, of_stores, rows_of
from ddecli.data.work import WorkFolder


@dataclass(frozen=True)
class Job:
    """One process's work on a pair store. `shard` is (I, N): its share of the parts, and how many there are."""

    source: Source
    encoder: Encoder
    out: Path
    limit: int | None
    max_bad: float
    shard: tuple[int, int]

    @property
    def alone(self) -> bool:
        """Whether no other process shares the work."""
        return self.shard[1] == 1

    @cached_property
    def work(self) -> WorkFolder:
        """Where finished parts lie."""
        return WorkFolder(self.out)

    @cached_property
    def plan(self) -> dict[str, Any]:
        """Everything that decides the store's content (its latents up to rounding)."""
        encoder, model = self.encoder, self.encoder.model
        return {
            "source": self.source.name,
            "layout": self.source.layout,
            "parts": [[part.name, part.rows] for part in self.source.parts],
            "limit": self.limit,
            "model": [model.fingerprint, model.resolution],
            "autoencoder_dtype": str(model.pipeline.vae.dtype).removeprefix("torch."),
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "prompts": encoder.split.as_dict(),
            "relabel": encoder.relabel.card if encoder.relabel else None,
        }

    @cached_property
    def inputs_sha256(self) -> str:
        """Names the plan and the parts' contents: a store of the same name need not be made again."""
        contents = [part.identity for part in self.source.parts]
        return sha256_text(json.dumps([self.plan, contents], sort_keys=True))

    def output(self, split: str) -> Path:
        """The store of a split."""
        return self.out if split == TRAIN else holdout_folder(self.out)

    def check_outputs(self, overwrite: bool) -> None:
        """Refuse outputs that are taken, but not those that a stopped process of this job renamed already."""
        for split in self.encoder.split.names:
            if not self.work.is_joined or (self.work.path / split).exists():
                check_output(self.output(split), overwrite)

    def is_published(self, split: str = TRAIN) -> bool:
        """Whether the store of a split is there, made from the same plan."""
        manifest = self.output(split) / MANIFEST
        if not manifest.is_file():
            return False
        try:
            return read_sealed(manifest, PREPARE_AGAIN).get("inputs_sha256") == self.inputs_sha256
        except NotPermitted:
            raise
        except UserError:  # a damaged store is none, and --overwrite may replace it
            return False

    def check_contents(self) -> None:
        """Refuse finished parts of data that have been replaced since; later parts may rest on what they hold.

        Raises:
            UserError: names the first of them.
        """
        for number, part in enumerate(self.source.parts):
            if self.work.is_whole(number) and self._about(number)["content"] != part.identity:
                raise UserError(
                    f"{part.name} has changed since {self.work.part(number)} was made from it: put back what it was, "
                    f"or remove {self.work.path} to begin again."
                )

    def is_complete(self, overwrite: bool) -> bool:
        """Whether nothing is left to do, because the store is there and may stay; then say so."""
        if (self.alone and overwrite) or not self.source.repeatable or not self.is_published():
            return False
        again = "; --overwrite prepares them again" if self.alone else ""
        console.print(
            f"{self.out} is complete: it holds these data, prepared with these settings{again}.",
            highlight=False,
            soft_wrap=True,
        )
        return True

    @property
    def is_encoded(self) -> bool:
        """Whether every part that is needed is there."""
        needed = list(self._needed())
        return bool(needed) and all((part / PART).is_file() for part in needed)

    def encode(self) -> None:
        """Encode this process's share of the parts, but not those that are there already.

        Raises:
            UserError: see `prepare_source`.
        """
        if self.work.is_joined or self.is_encoded:
            return
        console.print(self._disk_needed())
        own = self._own
        rows, total = self._rows(own), self._rows(range(len(self.source.parts)))
        encoded = {split: Encoded() for split in self.encoder.split.names}
        dropped: Counter[str] = Counter()
        taken = handled = 0
        in_rows = rows is not None
        with progress("Preparing", rows or len(own), unit="pairs" if in_rows else "parts") as advance:

            def watch(here: int, rejects: Rejects) -> None:
                nonlocal handled
                if in_rows:
                    advance(here - handled)
                handled = here
                if total is not None:
                    self._check_bad(dropped + rejects.counts, total, rejects)

            for number in own:
                if self.limit is not None and taken >= self.limit:
                    break
                handled = 0
                if not self.work.is_whole(number):
                    left = None if self.limit is None else self.limit - taken
                    self._encode_part(number, encoded, left, watch)
                else:
                    recall_part(self.work.part(number), encoded)
                    if in_rows:
                        advance(rows_of(self._about(number)))
                about = self._about(number)
                taken += about["taken"]
                dropped.update(about["dropped"])
                if not in_rows:
                    advance()

    def join(self) -> None:
        """Join all parts into a store a split, if that is not done yet.

        Raises:
            UserError: too many bad rows, no pair left, or a full disk.
        """
        if self.work.is_joined:
            return
        parts = list(self._needed())
        abouts = [read_part(part) for part in parts]
        dropped = sum((Counter(about["dropped"]) for about in abouts), Counter[str]())
        rows = sum(map(rows_of, abouts))
        self._check_bad(dropped, rows)
        if not any(about["splits"][TRAIN]["pairs"] for about in abouts):
            self.work.remove()
            raise UserError(f"{self.source.name} has no usable pair: {_reasons(dropped)}.")
        for split in reversed(self.encoder.split.names):
            folder = self.work.path / split
            entries, duplicates = join_split(
                parts, split, folder, self.encoder.model.resolution, self.encoder.relabel is not None
            )
            if not entries["counts"]["pairs"]:  # no prompt fell among the held-out ones
                shutil.rmtree(folder)
                continue
            about_rows: dict[str, Any] = {"dropped": {DUPLICATE: duplicates} if duplicates else {}}
            if split == TRAIN:
                about_rows = {"rows": rows, "dropped": dict(dropped + Counter(about_rows["dropped"]))}
                about_rows["notes"] = notes_of(abouts)
                if count_bad(dropped):
                    self._list_bad(folder / BAD_ROWS)
                    entries["files"][BAD_ROWS] = file_entry(folder / BAD_ROWS)
            write_sealed(folder / MANIFEST, self._common_entries() | about_rows | entries)

    def publish(self) -> None:
        """Rename the joined stores to where they belong; the training pairs come last.

        Raises:
            UserError: they may not be written.
        """
        shutil.rmtree(self.work.parts, ignore_errors=True)
        for split in reversed(self.encoder.split.names):
            joined, target = self.work.path / split, self.output(split)
            try:
                if joined.exists():
                    replace_folder(joined, target)
                elif target.exists() and not self.is_published(split):
                    shutil.rmtree(target)  # held-out pairs of a store that is replaced; there are none now
            except OSError as error:
                raise UserError(f"Cannot write {target}: {error.strerror or error}.") from error
        self.work.remove()

    def clean_up(self) -> str:
        """After a failure: keep the finished parts if that saves work, else nothing; what to tell people."""
        if not self.alone or self.work.is_joined:
            return f" What was finished is kept in {self.work.path}: the same command goes on."
        whole = sum(map(self.work.is_whole, range(len(self.source.parts))))
        if whole == 0 or len(self.source.parts) == 1:
            self.work.remove()
            return ""
        return (
            f" {whole} of {len(self.source.parts)} parts are finished and kept in {self.work.path}: the same "
            "command goes on behind them; remove that folder if the data have changed."
        )

    def summary(self, seconds: float) -> PrepareSummary:
        """Of the published store."""
        holdout = self.output(HOLDOUT) if self.is_published(HOLDOUT) else None
        return replace(of_stores(self.out, holdout, seconds), left_out=dict(self.source.left_out))

    def share_summary(self, seconds: float) -> PrepareSummary:
        """Of this process's finished parts."""
        share = of_share(self.out, [self._about(number) for number in self._own], seconds)
        return replace(share, left_out=dict(self.source.left_out))

    @property
    def _own(self) -> range:
        """Numbers of the parts that this process does."""
        return range(self.shard[0] - 1, len(self.source.parts), self.shard[1])

    def _needed(self) -> Iterator[Path]:
        """Folders of the parts that make the store, up to the first that is not there."""
        taken = 0
        for number in range(len(self.source.parts)):
            if self.limit is not None and taken >= self.limit:
                return
            yield self.work.part(number)
            if not self.work.is_whole(number):
                return
            taken += self._about(number)["taken"]

    def _about(self, number: int) -> dict[str, Any]:
        return read_part(self.work.part(number))

    def _encode_part(self, number: int, encoded: dict[str, Encoded], limit: int | None, watch: Watch) -> None:
        with atomic_folder(self.work.part(number)) as folder:
            encode_part(self.source.parts[number], folder, self.encoder, encoded, limit, watch)

    def _rows(self, own: range) -> int | None:
        """Rows of this process's share; None if that is not known."""
        counts = [self.source.parts[number].rows for number in own]
        rows = sum(count for count in counts if count is not None)
        if None in counts:
            if self.source.rows is None:
                return self.limit
            rows = self.source.rows * len(own) // len(self.source.parts)
        return rows if self.limit is None else min(rows, self.limit)

    def _disk_needed(self) -> str:
        """One sentence on the disk that the whole store will take."""
        encoder = self.encoder
        picture = math.prod(encoder.model.latent_shape) * encoder.dtype.itemsize
        prompt = sum(value.numel() for value in encoder.empty.values()) * encoder.dtype.itemsize
        free = f"{_size(shutil.disk_usage(self.work.path).free)} are free"
        rows = self._rows(range(len(self.source.parts)))
        if rows is None:
            return f"Disk: {_size(picture)} a picture and {_size(prompt)} a distinct prompt; {free}."
        return (
            f"Disk for {rows:,} pairs: at most {_size(2 * rows * picture)} for {2 * rows:,} pictures of "
            f"{_size(picture)}, and {_size(prompt)} a distinct prompt ({_size(rows * prompt)} if all differ); {free}."
        )

    def _check_bad(self, dropped: Counter[str], rows: int, rejects: Rejects | None = None) -> None:
        bad = count_bad(dropped)
        if bad <= self.max_bad * rows:
            return
        listed = self.out.with_name(f"{self.out.name}.{BAD_ROWS}")
        self._list_bad(listed, rejects)
        commonest = next(reason for reason, _ in dropped.most_common() if reason not in EXPECTED_REASONS)
        dtype = self.plan["autoencoder_dtype"]
        overflow = f" (the autoencoder overflows in {dtype}: give --precision float32)"
        hint = overflow if commonest == NOT_FINITE and dtype != "float32" else ""
        raise UserError(
            f"{bad} of {rows} rows are bad, {bad / rows:.1%} where --max-bad allows {self.max_bad:.1%}; the "
            f"commonest reason is: {commonest}{hint}. They are listed in {listed}."
        )

    def _list_bad(self, path: Path, rejects: Rejects | None = None) -> None:
        """Write the bad rows of the finished parts, and those of the part in the making."""
        with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for number in range(len(self.source.parts)):
                listed = self.work.part(number) / BAD_ROWS
                if listed.is_file():
                    with listed.open(encoding="utf-8") as lines:
                        shutil.copyfileobj(lines, file)
            file.write(rejects.lines() if rejects else "")

    def _common_entries(self) -> dict[str, Any]:
        """What the manifests of all splits say."""
        model = self.encoder.model
        return {
            "format": FORMAT_VERSION,
            "source": self.source.name,
            "layout": self.source.layout,
            "inputs_sha256": self.inputs_sha256,
            "model": {"name": model.name, "fingerprint": model.fingerprint, "resolution": model.resolution},
            "latent_shape": list(model.latent_shape),
            "dtype": self.plan["dtype"],
            "autoencoder_dtype": self.plan["autoencoder_dtype"],
            "prompts": self.plan["prompts"],
            "relabel": self.plan["relabel"],
            "versions": versions(),
        }


def holdout_folder(out: Path) -> Path:
    """Where the store of held-out pairs lies."""
    return out.with_name(f"{out.name}-holdout")


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuse an output that holds something, unless it is a pair store that may be overwritten.

    Raises:
        UserError: with the way out.
    """
    refuse_other_content(folder)
    if (folder / MANIFEST).is_file() and not overwrite:
        raise UserError(
            f"{folder} exists already, with other data or settings (or made by an earlier version): give --overwrite "
            "to replace it, or choose another --out."
        )


def refuse_other_content(folder: Path) -> None:
    """Refuse a place for a pair store where anything else lies.

    Raises:
        UserError: with the way out.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / MANIFEST).is_file():
        raise UserError(
            f"{folder} exists and is no pair store (it has no {MANIFEST}): choose another --out, or remove it if it is "
            "what was left of one."
        )


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in counts.most_common()) or "it is empty"


def _size(count: float) -> str:
    """Bytes for people."""
    exponent = min(4, max(0, math.floor(math.log(max(count, 1), 1000))))
    return f"{count / 1000**exponent:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[exponent]}"
