"""Losses that add a correction term from the delayed table to the logit (DDE, Alg. 1). Imports no torch by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ddecli.objectives.base import PairErrors, PairObjective

if TYPE_CHECKING:
    from torch import Tensor

    from ddecli.diffusion.schedule import NoiseSchedule


class CorrectedObjective(PairObjective):
    """`C(t) = sum_{k=t+1..T} lambda_k Dbar_k`, of the table as the step before left it."""

    def __init__(
        self,
        schedule: NoiseSchedule,
        beta: float,
        ema_decay: float = 0.95,
        correction_bins: int | None = None,
    ) -> None:
        """An objective that has seen nothing, whose corrections are 0.

        Args:
            ema_decay, correction_bins: of the delayed table; default one bin a timestep.
        """
        from ddecli.objectives.delayed_table import DelayedTable

        super().__init__(beta)
        self.schedule = schedule
        self.table = DelayedTable(schedule, ema_decay, correction_bins)

    def correction(self, t: Tensor) -> Tensor:
        """See `DelayedTable.correction`."""
        return self.table.correction(t)

    def observe(self, errors: PairErrors) -> None:
        """Moves the table; no model is run for it."""
        self.table.update(errors)

    def corrections(self) -> Tensor:
        """See `DelayedTable.corrections`."""
        return self.table.corrections()

    def state_dict(self) -> dict[str, Tensor]:
        """See `DelayedTable.state_dict`."""
        return self.table.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """See `DelayedTable.load_state_dict`."""
        self.table.load_state_dict(state)
