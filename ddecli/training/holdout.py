"""Held-out pairs: whether what a run learns holds for pairs that it does not train on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from ddecli.data.draws import Draws
from ddecli.data.store import PairStore
from ddecli.diffusion.timesteps import TimestepSampler
from ddecli.models.base import DiffusionModel
from ddecli.training.batches import Batches
from ddecli.training.errors import pair_errors
from ddecli.training.record import implicit_accuracy
from ddecli.training.settings import TrainSettings

HOLDOUT_SEED = -1
"""Seed of the draws, which no run has."""
FEWEST_PAIRS = 8
"""Held-out pairs of which fewer say nothing of the noise in them."""


class HeldOut:
    """Margin and implicit accuracy of a policy on the pairs of another store.

    Every evaluation sees the same pairs with the same noise and timesteps, which are uniform over the trajectory
    whatever the loss and its segment, and the size condition that sampling uses: evaluations of one run, and of runs
    of different losses, can be compared. Errors are those of the noise for the same reason.
    """

    def __init__(self, store: PairStore, settings: TrainSettings, T: int, accelerator: Accelerator) -> None:
        draws = Draws(
            len(store), HOLDOUT_SEED, TimestepSampler.uniform(T), store.latent_shape, drop_prompt=0.0
        )
        self.batches = Batches(store, draws, accelerator.device)
        self.accelerator = accelerator
        self.pairs = min(len(store), settings.holdout_pairs)
        self.size = settings.micro_batch
        self._of_reference: dict[
            int, Tensor
        ] = {}  # (2, B) by first draw, of the first evaluation: it does not change

    @torch.no_grad()
    def evaluate(
        self,
        policy: DiffusionModel,
        reference: DiffusionModel,
        autocast: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> dict[str, float]:
        """`holdout_margin`, the mean of `D(t)`, its standard error, `holdout_accuracy`, the implicit accuracy, and the
        number of pairs.

        Every process has to call it, each time with the same reference, which is asked once.
        """
        policy, reference = policy.with_errors_of("noise"), reference.with_errors_of("noise")
        processes, margins = self.accelerator.num_processes, []
        for start in range(0, self.pairs, self.size * processes):
            first = start + self.size * self.accelerator.process_index
            batch = self.batches(range(first, first + self.size))
            known = self._of_reference.get(first)
            errors = pair_errors(policy, reference, batch, autocast(), known=known)
            if known is None and errors.reference_w is not None and errors.reference_l is not None:
                self._of_reference[first] = torch.stack([errors.reference_w, errors.reference_l])
            margins.append(errors.margin)
        found: Tensor = self.accelerator.gather(
            torch.cat(margins)
        )  # one process after the other, some too many
        in_order = found.view(processes, len(margins), self.size).transpose(0, 1).flatten()
        margin = in_order[: self.pairs].double()
        return {
            "holdout_margin": margin.mean().item(),
            "holdout_margin_error": margin.std(correction=0).item() / max(1, self.pairs - 1) ** 0.5,
            "holdout_accuracy": implicit_accuracy(margin),
            "holdout_pairs": self.pairs,
        }


def worse_than_base(found: Mapping[str, float]) -> str | None:
    """A sentence, without a full stop, where held-out pairs say that the policy is worse than its reference; else None.

    It is where the mean margin lies above 0, or the accuracy below 1/2, by more than chance gives: two standard errors
    over pairs, of which there must be enough.

    Args:
        found: of `HeldOut.evaluate`, at the end of a training; nothing where it was not asked.
    """
    if not found or found["holdout_pairs"] < FEWEST_PAIRS:
        return None
    margin, accuracy, pairs = (found[f"holdout_{name}"] for name in ("margin", "accuracy", "pairs"))
    spread = _spread(found)
    if margin <= 2 * found["holdout_margin_error"] and accuracy >= 0.5 - 2 * spread:
        return None
    return (
        f"on {pairs:.0f} held-out pairs the model is worse than its base (accuracy {accuracy:.2f}, by chance "
        f"0.50 ± {2 * spread:.2f}; margin {margin:.2g} ± {2 * found['holdout_margin_error']:.1g}, better below 0)"
    )


def better_than_base(found: Mapping[str, float]) -> bool:
    """Whether held-out pairs say that the policy has learned, in margin and in accuracy, by as much."""
    if not found or found["holdout_pairs"] < FEWEST_PAIRS:
        return False
    has_margin = found["holdout_margin"] < -2 * found["holdout_margin_error"]
    return has_margin and found["holdout_accuracy"] > 0.5 + 2 * _spread(found)


def _spread(found: Mapping[str, float]) -> float:
    """Standard error of an accuracy of one half."""
    return float(0.5 / found["holdout_pairs"] ** 0.5)
