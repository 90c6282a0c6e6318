"""The lines under a table: what was measured, with what, how often; and how names are listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ddecli.core.protocol import sampled_model
from ddecli.stats.intervals import corrected_level
from ddecli.tables.cells import Difference, TableRow

DIGEST = 12
"""Characters of a hash that are shown."""
MOST_LISTED = 36
"""So many differences of two rows are listed by name, those of nine rows; of more there is the number."""


def and_list(names: Sequence[str]) -> str:
    """Joined as in "a, b and c"; "none" of an empty list."""
    if not names:
        return "none"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def protocol_note(protocol: Mapping[str, Any]) -> str:
    """How the images were sampled."""
    fields = [
        f"{name} {_short(value)}" for name, value in protocol.items() if name != "model" and value is not None
    ]
    return (
        f"Protocol: {', '.join(fields)}." if fields else "Protocol: not recorded (images of unknown origin)."
    )


def model_note(protocols: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What each row was sampled from."""
    rows = []
    for label, given in protocols.items():
        names = [name for name in map(sampled_model, given) if name]
        rows.append(f"{label} from {' and '.join(names) or 'unknown'}")
    return f"Models: {'; '.join(rows)}."


def scorer_note(cards: Mapping[str, Mapping[str, Any]], metrics: Sequence[str]) -> str:
    """Model, version and scale of each scorer."""
    return f"Scorers: {'; '.join(f'{metric}: {card_text(cards.get(metric, {}))}' for metric in metrics)}."


def card_text(card: Mapping[str, Any]) -> str:
    """A scorer's card in a few words."""
    fields = [f"{name} {_short(value)}" for name, value in card.items() if _is_plain(name, value)]
    return ", ".join(fields) or "no card"


def seed_note(rows: Sequence[TableRow]) -> str:
    """How many trainings stand behind each row."""
    several = [f"{row.label} {row.seeds}" for row in rows if row.seeds > 1]
    if not several:
        return "Training seeds: one a row."
    others = ", the others 1" if len(several) < len(rows) else ""
    return f"Training seeds: {', '.join(several)}{others}; ± is the standard deviation over them."


def lone_note(rows: Sequence[TableRow]) -> list[str]:
    """What intervals of rows with one training can be about; nothing where there is none."""
    lone = [row.label for row in rows if row.base is not None and row.seeds == 1]
    if not lone:
        return []
    return [
        f"One training, or model, stands behind {and_list(lone)}: the intervals are over prompts and speak of that "
        "one, not of how it was trained."
    ]


def gain_note(rows: Sequence[TableRow], prompts: int) -> list[str]:
    """How the gains of a table were formed, and what is bold; nothing of a base alone."""
    gained = [row for row in rows if row.base is not None]
    if not gained:
        return []
    several = any(row.seeds > 1 for row in gained)
    found = [
        f"Gains over {gained[0].base}: Student's 95 % intervals over the {prompts} prompts"
        f"{' and the trainings of a row' if several else ''}, each of one comparison.",
        f"Bold gain: told from 0 after correction for the {len(gained)} rows of a column (Bonferroni: the interval of "
        f"level {100 * corrected_level(len(gained)):.4g} % excludes 0). Bold mean: the highest of its column, where "
        "its gain is bold; that does not tell it apart from the other rows."
        if len(gained) > 1
        else "Bold gain: its interval excludes 0. Bold mean: the highest of its column, where its gain is bold.",
    ]
    if several:
        found.append(f"“1 of 3 below”: of three trainings one has a mean below that of {gained[0].base}.")
    return found


def difference_note(differences: Sequence[Difference]) -> str:
    """How the differences of every two rows were formed."""
    paired = [f"{each.first} and {each.second}" for each in differences if each.same_seeds]
    which = (
        "; ".join(paired)
        if len(paired) <= MOST_LISTED
        else f"{len(paired)} of {len(differences)} differences"
    )
    pairs = (
        f" Trainings of equal seeds are paired, over the seeds that both rows have ({which}); "
        "± and “below” are of their differences."
        if paired
        else ""
    )
    number = len(differences)
    corrected = (
        f"told from 0 after correction for the {number} differences of a column (Bonferroni: the interval of level "
        f"{100 * corrected_level(number):.4g} % excludes 0)"
        if number > 1
        else "its interval excludes 0"
    )
    return (
        "Differences: the same prompts and images in both rows, Student's 95 % intervals, each of one comparison."
        f"{pairs} Bold: {corrected}."
    )


def kind_note(rows: Sequence[TableRow]) -> str:
    """How the rows over kinds of prompts were formed."""
    several = any(row.seeds > 1 for row in rows)
    return (
        f"Kinds of prompts: Student's 95 % intervals over the prompts of a kind{' and trainings' if several else ''}, "
        "each alone; among so many some differences exclude 0 by chance."
    )


def _is_plain(name: str, value: Any) -> bool:
    return name != "name" and value is not None and not isinstance(value, dict | list)


def _short(value: Any) -> str:
    text = str(value)
    is_digest = len(text) > 2 * DIGEST and all(letter in "0123456789abcdef" for letter in text)
    return text[:DIGEST] if is_digest else text
