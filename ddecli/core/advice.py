"""What to try when a training has made its model worse: one piece of advice, wherever it is seen."""

from __future__ import annotations


def gentler(has_beta: bool = True, good: int = 0) -> str:
    """The settings of a gentler training, as the end of a sentence that begins with "try".

    The learning rate comes first: an optimizer like Adam takes steps of its size whatever beta is. A larger beta lets
    the gradient of a pair fade sooner, and so holds the model nearer to its base. Fewer steps are the same run as far
    as they go.

    Args:
        has_beta: whether its loss has one, or nobody knows which loss it is.
        good: after how many steps there was no alarm yet; 0 if nobody knows.
    """
    fewer = f"--steps {good} (no alarm until then)" if good else "fewer --steps"
    return f"a lower --lr, {fewer} or a larger --beta" if has_beta else f"a lower --lr or {fewer}"
