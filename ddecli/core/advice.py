"""What to try when a training has made its model worse: one piece of advice, wherever it is seen."""

from __future__ import annotations


def gentler(loss: str | None) -> str:
    """The settings of a gentler training, as the end of a sentence that begins with "try".

    The learning rate comes first: an optimizer like Adam takes steps of its size whatever beta is. A larger beta lets
    the gradient of a pair fade sooner, and so holds the model nearer to its base.

    Args:
        loss: its name; None where it is not known. Fine-tuning has no beta.
    """
    return (
        "a lower --lr or fewer --steps" if loss == "sft" else "a lower --lr, fewer --steps or a larger --beta"
    )
