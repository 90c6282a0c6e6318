"""What the help of settings says of the losses. Imports nothing heavy."""

from __future__ import annotations

from ddecli.objectives.registry import LOSSES

LOSS_HELP = "What is optimised; {default} if not given.\n" + "\n".join(
    f"- {loss.name}: {loss.summary}" for loss in LOSSES.values()
)

WITHOUT_STRENGTHS = ", ".join(loss.name for loss in LOSSES.values() if not loss.has_soft_labels)
