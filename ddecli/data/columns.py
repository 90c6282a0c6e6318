"""From a table's columns to pairs: the names people use, and the layouts of a preference.

The preferred picture is named (`prompt, chosen, rejected`: TRL, imagefolder, HPDv3), or two pictures have a label,
votes or a winner (`caption, jpg_0, jpg_1, label_0`: Pick-a-Pic; Rapidata; MJ-Bench), or a list of pictures has a list
of marks or ranks (HPDv2), or every picture has a row with its rank (ImageRewardDB).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ddecli.core.errors import BadRow, UserError
from ddecli.data.cells import image_of, prompt_of
from ddecli.data.labels import Names, number, says_no, share_of_first, share_of_votes, side_of, votes_of
from ddecli.data.mapping import check_mapping, listed
from ddecli.data.pairs import NOT_DIFFERENT, NOT_LABELLED, TIE, VOTES_CONTRADICT, Pair

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "caption", "text", "prompt_text", "txt"),
    "label_0": ("label_0", "weighted_results_image1_preference"),
    "label_1": ("label_1", "weighted_results_image2_preference"),
    "votes": ("choice_dist", "aggregated_results"),
    "winner": ("winner",),
    "images": ("images", "file_path", "image_path", "generations", "image"),
    "marks": ("marks", "human_preference"),
    "ranks": ("ranks", "rank", "ranking"),
    "group": ("prompt_id",),
    "are_different": ("are_different",),
    "has_label": ("has_label",),
}
"""Canonical column -> names it is found under, upper or lower case.

`label_0` is the preference for the first picture, 0 to 1, `label_1` that for the second, if there is one; `votes_0`
and `votes_1` count the votes for each, `votes` those for both in one cell; `winner` names one of the two; `marks` has
1 at the preferred of two `images`; `ranks` orders any number of them, the smallest is the best; where every picture
has a row, those of one `group` are together.

Columns whose meaning differs between data sets ("label", "preference") are not guessed: an inverted label
trains the opposite of what people chose. Name them with `--columns label_0=...`.
"""

PAIRED: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {
    ("chosen", "rejected"): (
        ("chosen", "rejected"),
        ("chosen_file_name", "rejected_file_name"),
        ("image_w", "image_l"),
        ("image_win", "image_lose"),
        ("img_win", "img_lose"),
        ("img_better", "img_worse"),
        ("winner", "loser"),
        ("preferred", "dispreferred"),
        ("path1", "path2"),
        ("w", "l"),
    ),
    ("image_0", "image_1"): (
        ("jpg_0", "jpg_1"),
        ("image_0", "image_1"),
        ("image0", "image1"),
        ("image1", "image2"),
        ("image_1", "image_2"),
        ("image_a", "image_b"),
        ("left_image", "right_image"),
        ("image_left", "image_right"),
        ("0", "1"),
    ),
    ("votes_0", "votes_1"): (("votes_0", "votes_1"), ("votes_image1", "votes_image2")),
    ("model_0", "model_1"): (
        ("model_0", "model_1"),
        ("model1", "model2"),
        ("model_1", "model_2"),
        ("model_a", "model_b"),
        ("left_model", "right_model"),
    ),
}
"""The same of two columns that are found together, under names that belong together."""

CANONICAL = (
    "prompt",
    *(name for both in PAIRED for name in both),
    *(name for name in ALIASES if name != "prompt"),
)
LAYOUTS = (
    ("prompt", "chosen", "rejected"),
    ("prompt", "image_0", "image_1", "label_0"),
    ("prompt", "image_0", "image_1", "votes_0", "votes_1"),
    ("prompt", "image_0", "image_1", "votes"),
    ("prompt", "image_0", "image_1", "winner"),
    ("prompt", "images", "marks"),
    ("prompt", "images", "ranks"),
)
UNLABELLED = (("prompt", "image_0", "image_1"), ("prompt", "images"))
"""Layouts that will do where a scorer decides."""
EXTRA = {
    "chosen": ("votes",),
    "label_0": ("label_1",),
    "votes": ("model_0", "model_1"),
    "winner": ("model_0", "model_1"),
    "images": ("group",),
}
"""Columns that a layout has use for beside its own: column of the layout -> these."""
WINNERS: dict[str, tuple[str, ...]] = {
    "prompt": ALIASES["prompt"],
    "image": ("image", "file_name", "image_path", "file_path", "jpg", "jpeg", "png", "webp"),
}
"""The same of pictures with captions: columns -> names they are found under."""
MOST_TOGETHER = 100
"""Pictures of one prompt that are compared with one another: 4,950 pairs."""

DATA_SETS = (
    ("Pick-a-Pic", {"jpg_0"}),
    ("HPDv3", {"path1"}),
    ("HPDv2", {"human_preference"}),
    ("Rapidata", {"weighted_results_image1_preference"}),
    ("Rapidata", {"votes_image1"}),
    ("Rapidata", {"aggregated_results"}),
    ("MJ-Bench", {"image0", "label"}),
    ("verl-omni", {"img_win"}),
    ("ImageRewardDB", {"prompt_id", "rank"}),
)
"""Data sets, and the columns that give them away."""


Cell = tuple[Any, str]
"""A picture's cell, and its column."""
Order = tuple[Cell, Cell, str, float | None]
"""The preferred and the rejected picture, what is to be noted of the pair, and its label's strength."""


@dataclass(frozen=True)
class Columns:
    """Where each canonical column is found in one table: canonical name -> actual name."""

    actual: dict[str, str]
    labelled: bool = True

    @property
    def grouped(self) -> bool:
        """Whether a row may be one picture, and rows of one group belong together."""
        return "group" in self.actual

    @property
    def names(self) -> list[str]:
        """The actual columns to read, and no others."""
        return list(dict.fromkeys(self.actual.values()))

    @property
    def layout(self) -> str:
        """The layout, for people."""
        lower = {name.lower() for name in self.names}
        return next((name for name, known in DATA_SETS if known <= lower), "") or ", ".join(self.actual)

    def pairs(self, row: Mapping[str, Any], row_id: str, source: str, folder: Path | None) -> Iterator[Pair]:
        """Turn one row into its pair, or into one for every two pictures that are ranked differently.

        Args:
            row: actual column -> value.
            folder: file names in the row are relative to it and may not leave it; None: there may be none.

        Raises:
            BadRow: the row holds no usable preference.
        """
        values = {canonical: row.get(actual) for canonical, actual in self.actual.items()}
        if self.labelled and "has_label" in values and says_no(values["has_label"], self.actual["has_label"]):
            raise BadRow(NOT_LABELLED)
        if "are_different" in values and says_no(values["are_different"], self.actual["are_different"]):
            raise BadRow(NOT_DIFFERENT)
        prompt = prompt_of(values["prompt"])
        if "image" in values:
            yield Pair(prompt, image_of(values["image"], self.actual["image"], folder), None, row_id, source)
            return
        orders = list(self._orders(values))
        for count, (chosen, rejected, note, strength) in enumerate(orders):
            pair_id = row_id if len(orders) == 1 else f"{row_id}#{count}"
            images = image_of(*chosen, folder), image_of(*rejected, folder)
            yield Pair(prompt, *images, pair_id, source, note, strength=strength)

    def _orders(self, values: dict[str, Any]) -> Iterator[Order]:
        if "images" in values:
            yield from self._of_list(values)
            return
        first, second = ("chosen", "rejected") if "chosen" in values else ("image_0", "image_1")
        both = [(values[name], self.actual[name]) for name in (first, second)]
        share = self._share_of_first(values) if self.labelled else None
        if share is None:
            won, strength = not self.labelled or self._first_is_named(values), None
        else:
            won, strength = share > 0.5, max(share, 1 - share)
        if won:
            yield both[0], both[1], "", strength
        else:
            yield both[1], both[0], VOTES_CONTRADICT if first == "chosen" else "", strength

    def _share_of_first(self, values: dict[str, Any]) -> float | None:
        """How far the first picture won, by a label or votes; None where there are none."""
        if "label_0" in values:
            share = share_of_first(values["label_0"], self.actual["label_0"])
            won = share > 0.5
            if "label_1" in values and won == _also_won(values["label_1"], self.actual["label_1"], not won):
                raise BadRow("labels contradict", f"{values['label_0']} and {values['label_1']}")
            return share
        if "votes_0" in values:
            return share_of_votes((values["votes_0"], values["votes_1"]), self.actual["votes_0"])
        if "votes" in values:
            votes = votes_of(values["votes"], self.actual["votes"], self._names(values))
            if votes is not None:
                return share_of_votes(votes, self.actual["votes"])
        return None

    def _first_is_named(self, values: dict[str, Any]) -> bool:
        if "winner" in values:
            side = side_of(values["winner"], self._names(values), self.actual["winner"])
            if side is None:
                raise BadRow(TIE)
            return side == 0
        if "chosen" not in values:
            raise BadRow(NOT_LABELLED)
        return True

    def _names(self, values: dict[str, Any]) -> Names:
        """What either picture of a row is called: its column, its model, its file."""
        names = []
        for picture, model in (("image_0", "model_0"), ("image_1", "model_1")):
            picture = picture if picture in values else {"image_0": "chosen", "image_1": "rejected"}[picture]
            cell = values[picture]
            file = cell.get("path") if isinstance(cell, Mapping) else cell
            others = (each for each in (values.get(model), file) if isinstance(each, str))
            names.append((self.actual[picture], *others))
        return names[0], names[1]

    def _of_list(self, values: dict[str, Any]) -> Iterator[Order]:
        images = values["images"]
        if not isinstance(images, Sequence) or isinstance(images, str | bytes) or len(images) < 2:
            raise BadRow("missing image", f"column {self.actual['images']} lists no two pictures")
        if len(images) > MOST_TOGETHER:
            raise BadRow(
                "too many pictures", f"{len(images)} of one prompt, at most {MOST_TOGETHER} are compared"
            )
        cells = [(image, self.actual["images"]) for image in images]
        chosen = list(combinations(range(len(cells)), 2))
        if self.labelled:
            order = self._order(values, len(cells))
            chosen = [
                (first, second) if order[first] < order[second] else (second, first)
                for first, second in chosen
                if order[first] != order[second]
            ]
        if not chosen:
            raise BadRow(TIE)
        for better, worse in chosen:
            yield cells[better], cells[worse], "", None

    def _order(self, values: dict[str, Any], count: int) -> list[float]:
        """A number for each of a list's pictures; the smallest is the best."""
        kind, sign = ("ranks", 1) if "ranks" in values else ("marks", -1)
        numbers = values[kind]
        if not isinstance(numbers, Sequence) or isinstance(numbers, str | bytes) or len(numbers) != count:
            raise BadRow("malformed row", f"{self.actual[kind]} has not one number a picture")
        return [sign * number(each, self.actual[kind]) for each in numbers]


def _also_won(label: Any, column: str, otherwise: bool) -> bool:
    """Whether the second picture won by its own label; where that is missing, what goes with the first's."""
    try:
        return share_of_first(label, column) > 0.5
    except BadRow as error:
        if error.reason == NOT_LABELLED:
            return otherwise
        raise


def resolve_columns(
    found: Sequence[str],
    mapping: Mapping[str, str],
    where: str,
    labelled: bool = True,
    winners_only: bool = False,
) -> Columns:
    """Find the canonical columns among a table's columns.

    Args:
        found: the table's column names.
        mapping: canonical -> actual names given by the user; they win over the aliases.
        where: the table's name, for the error.
        labelled: False where a scorer decides: a label is not needed, and not looked at if it is there.
        winners_only: pictures with captions are looked for, and no pairs.

    Raises:
        UserError: a needed column is missing, the mapping names a column that is not there, or the table prefers texts.
    """
    check_mapping(mapping, tuple(WINNERS) if winners_only else CANONICAL, found, where)
    by_lower = {name.lower(): name for name in reversed(found)}
    captioned = {each: _first(names, by_lower) for each, names in WINNERS.items()} | dict(mapping)
    if winners_only and all(captioned.values()):
        return Columns({canonical: str(name) for canonical, name in captioned.items()})
    if winners_only:
        raise UserError(
            f"{where} has columns {listed(found)}; needed are prompt and image. Name them with --columns prompt=... "
            "image=..."
        )
    actual = {**_by_aliases(found, mapping), **mapping}
    _refuse_texts(found, actual, mapping, where)
    for layout in LAYOUTS if labelled else (LAYOUTS[0], *UNLABELLED):
        if all(name in actual for name in layout):
            extra = [name for own in layout for name in EXTRA.get(own, ())] if labelled else ["group"]
            wanted = {*layout, *extra, "are_different", "has_label"}
            if "images" not in layout:
                wanted.discard("group")
            return Columns(
                {name: actual[name] for name in CANONICAL if name in wanted & actual.keys()}, labelled
            )
    way_out = "; or, if they are pictures with captions and no pairs, give --winners-only"
    raise UserError(
        f"{where} has columns {listed(found)}; needed are prompt, chosen, rejected "
        "or prompt, image_0, image_1, label_0. Name them with --columns prompt=... chosen=... rejected=..."
        + (way_out if labelled and all(captioned.values()) else "")
    )


def _by_aliases(found: Sequence[str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Canonical columns by their usual names."""
    by_lower = {name.lower(): name for name in reversed(found)}
    actual: dict[str, str] = {}
    taken = {name.lower() for name in mapping.values()}
    for both, aliases in PAIRED.items():
        if any(name in mapping for name in both):  # the other one may have any of its names
            match: Sequence[str | None] = [
                next((name for name in names if name in by_lower.keys() - taken), None)
                for names in zip(*aliases, strict=True)
            ]
        else:
            match = next((pair for pair in aliases if all(name in by_lower for name in pair)), ())
        actual |= {canonical: by_lower[name] for canonical, name in zip(both, match, strict=False) if name}
    for canonical, names in ALIASES.items():
        name = _first(names, by_lower)
        if name is not None:
            actual[canonical] = name
    if (
        actual.get("image_0", "").lower() == "image0" and "label" in by_lower
    ):  # MJ-Bench: the preferred one's number
        actual.setdefault("winner", by_lower["label"])
    if actual.get("images", "").lower() == "image" and "group" not in {*actual, *mapping}:
        del actual["images"]  # one picture a row, and nothing that says which rows belong together
    return actual


def _first(names: Sequence[str], by_lower: Mapping[str, str]) -> str | None:
    """The first of some names that a table has, as it is written there."""
    return next((by_lower[name] for name in names if name in by_lower), None)


def _refuse_texts(
    found: Sequence[str], actual: Mapping[str, str], mapping: Mapping[str, str], where: str
) -> None:
    """Refuse rows of chosen and rejected texts about a picture, as TRL has them for vision models."""
    shown = next((name for name in found if name.lower() in ("images", "image")), None)
    if (
        shown
        and actual.get("chosen", "").lower() == "chosen"
        and not {"chosen", "rejected"} <= mapping.keys()
    ):
        raise UserError(
            f"{where} has a column {shown} beside {actual['chosen']} and {actual['rejected']}: rows of TRL's kind, in "
            "which texts about a picture are compared. Pictures are needed; if those columns hold them, say so with "
            f"--columns chosen={actual['chosen']},rejected={actual['rejected']}."
        )
