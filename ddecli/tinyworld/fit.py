"""One small training loop for every model of the world: AdamW, one-cycle rate, EMA, resumable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ddecli.core.console import progress
from ddecli.core.files import atomic_file

CHECKPOINT_EVERY = 200


def fit(
    name: str,
    module: nn.Module,
    loss_of_step: Callable[[int], Tensor],
    *,
    steps: int,
    learning_rate: float,
    folder: Path,
    ema_decay: float = 0.998,
    weight_decay: float = 0.01,
) -> None:
    """Train `module` in place and load the average of its weights into it.

    Args:
        name: shown in the progress bar; also the checkpoint's file name in `folder`.
        loss_of_step: step number -> scalar loss. It must draw its batch from the step number alone, so that a run
            that was stopped goes on as if it had not been.
        steps: optimizer steps.
        learning_rate: peak of the one-cycle schedule.
        folder: where the checkpoint lies while the training is under way.
        ema_decay: of the average of the weights that is kept at the end; 0 keeps the last ones.
    """
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions run about a third faster on a processor
    optimizer = torch.optim.AdamW(module.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=learning_rate, total_steps=steps + 1, pct_start=0.1
    )
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(ema_decay))
    parts: dict[str, Any] = {
        "module": module,
        "optimizer": optimizer,
        "schedule": schedule,
        "average": average,
    }
    checkpoint = folder / f"{name}.checkpoint"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for key, part in parts.items():
            part.load_state_dict(state[key])
        first = state["step"]
    module.train()
    with progress(name, steps, start=first, unit="step") as advance:
        for step in range(first, steps):
            loss = loss_of_step(step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(module)
            if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == steps:
                with atomic_file(checkpoint) as temporary:
                    state = {key: part.state_dict() for key, part in parts.items()}
                    torch.save(state | {"step": step + 1}, temporary)
            advance(note=f"loss {loss.item():.4f}")
    module.load_state_dict(average.module.state_dict())
    module.eval()
