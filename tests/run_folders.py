"""Run folders made by hand, written by the code that writes real ones, for the tests of figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ddecli.training.record import CreditMap, MetricsLog

TIMESTEPS = 1000


def write_run(
    folder: Path,
    weight: np.ndarray,
    count: np.ndarray,
    corrections: np.ndarray | None = None,
    sigmoid: np.ndarray | None = None,
    norm: np.ndarray | None = None,
    **metrics: np.ndarray,
) -> Path:
    """Lay a run on disk.

    weight: mean gradient weight of a visit; count: visits; corrections: `C(t)`; all (steps, 50).
    sigmoid: mean sigmoid factor of a visit; norm: mean norm of a gradient, measured of every visit; (steps, 50).
    metrics: arrays (steps,) of metrics.jsonl.
    """
    folder.mkdir(parents=True)
    credit = CreditMap(len(count), TIMESTEPS)
    credit.weight_sum, credit.count = torch.from_numpy(weight * count), torch.from_numpy(count)
    if sigmoid is not None:
        credit.sigmoid_sum = torch.from_numpy(sigmoid * count)
        credit.sigmoid_square_sum = torch.from_numpy(sigmoid**2 * count)
    if norm is not None:
        credit.norm_sum, credit.norm_count = torch.from_numpy(norm * count), torch.from_numpy(count)
        credit.norm_weight_sum = credit.weight_sum
    if corrections is not None:
        credit.corrections = torch.from_numpy(corrections)
    credit.save(folder / "credit.npz", {} if corrections is None else {"means": torch.zeros(4, 1)})
    log = MetricsLog(folder / "metrics.jsonl", 0)
    for step in range(len(count)):
        values = {name: None if np.isnan(each[step]) else float(each[step]) for name, each in metrics.items()}
        log.write({"step": step, "loss": 0.7} | values)
    log.close()
    return folder
