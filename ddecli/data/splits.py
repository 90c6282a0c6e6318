"""Which prompts are trained on: held-out and excluded prompts, by their text alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ddecli.core.errors import BadRow
from ddecli.core.files import sha256_text
from ddecli.core.protocol import clean_prompt
from ddecli.core.seeds import seed_of
from ddecli.data.pairs import EXCLUDED

TRAIN, HOLDOUT = "train", "holdout"


def normal_prompt(prompt: str) -> str:
    """A prompt as it is compared: without regard to upper and lower case and to spaces."""
    return clean_prompt(prompt).casefold()


@dataclass(frozen=True)
class PromptSplit:
    """Sends each prompt to the training pairs, to the held-out pairs, or away.

    Pairs of one prompt stay together, so that a held-out prompt was never trained on. Which prompts are held
    out depends on their texts alone: the same in every data set, model and process.

    holdout: expected share of the prompts held out.
    excluded: prompts (of `normal_prompt`) that must not occur at all.
    """

    holdout: float = 0.0
    excluded: frozenset[str] = frozenset()

    @classmethod
    def make(cls, holdout: float = 0.0, excluded: Iterable[str] = ()) -> PromptSplit:
        """From prompts as they were given."""
        return cls(holdout, frozenset(normal_prompt(prompt) for prompt in excluded))

    @property
    def names(self) -> tuple[str, ...]:
        """The splits there are."""
        return (TRAIN, HOLDOUT) if self.holdout else (TRAIN,)

    def of(self, prompt: str) -> str:
        """`train` or `holdout`.

        Raises:
            BadRow: the prompt is excluded.
        """
        text = normal_prompt(prompt)
        if text in self.excluded:
            raise BadRow(EXCLUDED)
        return HOLDOUT if self.holdout and seed_of("holdout", text) < self.holdout * 2**63 else TRAIN

    def as_dict(self) -> dict[str, object]:
        """For the manifest: the share held out, and which prompts were excluded."""
        excluded = sorted(self.excluded)
        return {
            "holdout": self.holdout,
            "excluded_prompts": len(excluded),
            "excluded_sha256": sha256_text("\n".join(excluded)) if excluded else None,
        }
