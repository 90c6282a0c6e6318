"""The stages of making a pair store: encode the parts, join them, rename the result into place."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ddecli.core.console import console, progress
from ddecli.core.digests import file_entry
from ddecli.core.errors import UserError
from ddecli.core.files import atomic_file, atomic_folder, replace_folder
from ddecli.core.sealed import write_sealed
from ddecli.data.index import Encoded
from ddecli.data.join import join_split, pair_columns
from ddecli.data.pairs import DUPLICATE, EXPECTED_REASONS, NOT_FINITE, Rejects, count_bad
from ddecli.data.parts import Watch, encode_part, recall_part
from ddecli.data.splits import HOLDOUT, TRAIN
from ddecli.data.store import BAD_ROWS, MANIFEST
from ddecli.data.store_plan import StorePlan
from ddecli.data.summary import PrepareSummary, notes_of, of_share, of_stores, rows_of


@dataclass(frozen=True)
class Job:
    """One process's work on a planned pair store. `max_bad` is the largest share of bad rows that is let pass."""

    plan: StorePlan
    max_bad: float

    def is_complete(self, overwrite: bool) -> bool:
        """Whether nothing is left to do, because the store is there and may stay; then say so."""
        plan = self.plan
        if (plan.alone and overwrite) or not plan.source.repeatable or not plan.is_published():
            return False
        again = "; --overwrite prepares them again" if plan.alone else ""
        console.print(
            f"{plan.out} is complete: it holds these data, prepared with these settings{again}.",
            highlight=False,
            soft_wrap=True,
        )
        return True

    def encode(self) -> None:
        """Encode this process's share of the parts, but not those that are there already.

        Raises:
            UserError: see `prepare_source`.
        """
        plan, work = self.plan, self.plan.work
        if work.is_joined or plan.is_encoded:
            return
        console.print(plan.disk_needed())
        rows, total = plan.rows(plan.own), plan.rows(plan.parts)
        encoded = {split: Encoded() for split in plan.encoder.split.names}
        dropped: Counter[str] = Counter()
        taken = handled = 0
        in_rows = rows is not None
        with progress("Preparing", rows or len(plan.own), unit="pairs" if in_rows else "parts") as advance:

            def watch(here: int, rejects: Rejects) -> None:
                nonlocal handled
                if in_rows:
                    advance(here - handled)
                handled = here
                if total is not None:
                    self._check_bad(dropped + rejects.counts, total, rejects)

            for number in plan.own:
                if plan.limit is not None and taken >= plan.limit:
                    break
                handled = 0
                if not work.is_whole(number):
                    left = None if plan.limit is None else plan.limit - taken
                    self._encode_part(number, encoded, left, watch)
                else:
                    recall_part(work.part(number), encoded)
                    if in_rows:
                        advance(rows_of(work.about(number)))
                about = work.about(number)
                taken += about["taken"]
                dropped.update(about["dropped"])
                if not in_rows:
                    advance()

    def join(self) -> None:
        """Join all parts into a store a split, if that is not done yet.

        Raises:
            UserError: too many bad rows, no pair left, or a full disk.
        """
        plan, work = self.plan, self.plan.work
        if work.is_joined:
            return
        numbers = list(plan.needed())
        parts, abouts = list(map(work.part, numbers)), list(map(work.about, numbers))
        dropped = sum((Counter(about["dropped"]) for about in abouts), Counter[str]())
        rows = sum(map(rows_of, abouts))
        self._check_bad(dropped, rows)
        if not any(about["splits"][TRAIN]["pairs"] for about in abouts):
            work.remove()
            what = "picture" if plan.source.winners_only else "pair"
            raise UserError(f"{plan.source.name} has no usable {what}: {_reasons(dropped)}.")
        encoder = plan.encoder
        of_splits = [split for about in abouts for split in about["splits"].values()]
        has_strengths = any(split.get("strengths") for split in of_splits)
        more = (*plan.of_pairs, "strength") if has_strengths else plan.of_pairs
        columns = pair_columns(more, plan.source.winners_only)
        for split in reversed(encoder.split.names):
            folder = work.path / split
            entries, duplicates = join_split(parts, split, folder, encoder.model.resolution, columns)
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
            write_sealed(folder / MANIFEST, plan.manifest_entries() | about_rows | entries)

    def publish(self) -> None:
        """Rename the joined stores to where they belong; the training pairs come last.

        Raises:
            UserError: they may not be written.
        """
        plan, work = self.plan, self.plan.work
        shutil.rmtree(work.parts, ignore_errors=True)
        for split in reversed(plan.encoder.split.names):
            joined, target = work.path / split, plan.output(split)
            try:
                if joined.exists():
                    replace_folder(joined, target)
                elif target.exists() and not plan.is_published(split):
                    shutil.rmtree(target)  # held-out pairs of a store that is replaced; there are none now
            except OSError as error:
                raise UserError(f"Cannot write {target}: {error.strerror or error}.") from error
        work.remove()

    def clean_up(self) -> str:
        """After a failure: keep the finished parts if that saves work, else nothing; what to tell people."""
        plan, work = self.plan, self.plan.work
        if not plan.alone or work.is_joined:
            return f" What was finished is kept in {work.path}: the same command goes on."
        whole = sum(map(work.is_whole, plan.parts))
        if whole == 0 or len(plan.parts) == 1:
            work.remove()
            return ""
        return (
            f" {whole} of {len(plan.parts)} parts are finished and kept in {work.path}: the same "
            "command goes on behind them; remove that folder if the data have changed."
        )

    def summary(self, seconds: float) -> PrepareSummary:
        """Of the published store."""
        plan = self.plan
        holdout = plan.output(HOLDOUT) if plan.is_published(HOLDOUT) else None
        return replace(of_stores(plan.out, holdout, seconds), left_out=dict(plan.source.left_out))

    def share_summary(self, seconds: float) -> PrepareSummary:
        """Of this process's finished parts."""
        plan = self.plan
        share = of_share(plan.out, list(map(plan.work.about, plan.own)), seconds)
        return replace(share, left_out=dict(plan.source.left_out))

    def _encode_part(self, number: int, encoded: dict[str, Encoded], limit: int | None, watch: Watch) -> None:
        plan = self.plan
        with atomic_folder(plan.work.part(number)) as folder:
            encode_part(plan.source.parts[number], folder, plan.encoder, encoded, limit, watch)

    def _check_bad(self, dropped: Counter[str], rows: int, rejects: Rejects | None = None) -> None:
        bad = count_bad(dropped)
        if bad <= self.max_bad * rows:
            return
        out = self.plan.out
        listed = out.with_name(f"{out.name}.{BAD_ROWS}")
        self._list_bad(listed, rejects)
        commonest = next(reason for reason, _ in dropped.most_common() if reason not in EXPECTED_REASONS)
        dtype = self.plan.content["autoencoder_dtype"]
        overflow = f" (the autoencoder overflows in {dtype}: give --precision float32)"
        hint = overflow if commonest == NOT_FINITE and dtype != "float32" else ""
        raise UserError(
            f"{bad} of {rows} rows are bad, {bad / rows:.1%} where --max-bad allows {self.max_bad:.1%}; the "
            f"commonest reason is: {commonest}{hint}. They are listed in {listed}."
        )

    def _list_bad(self, path: Path, rejects: Rejects | None = None) -> None:
        """Write the bad rows of the finished parts, and those of the part in the making."""
        with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            for number in self.plan.parts:
                listed = self.plan.work.part(number) / BAD_ROWS
                if listed.is_file():
                    with listed.open(encoding="utf-8") as lines:
                        shutil.copyfileobj(lines, file)
            file.write(rejects.lines() if rejects else "")


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count}" for reason, count in counts.most_common()) or "it is empty"
