"""Every objective against a second version of it: plain Python loops over floats, nothing shared."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import PairErrors
from ddecli.objectives.registry import LOSSES, build_objective

CASES = 240
ANCHORED = ("seppo", "sspo")
LINKS = ("ipo", "hinge", "cdpo", "robust")


class SlowTable:
    """Algorithm 1: one dictionary of running means by bin, each a list of the four errors."""

    def __init__(self, T: int, decay: float, bins: int) -> None:
        self.T, self.decay, self.bins = T, decay, bins
        self.means: dict[int, list[float]] = {}

    def bin_of(self, k: int) -> int:
        return ((k - 1) * self.bins) // self.T

    def after_step(self, visited: list[tuple[int, list[float]]]) -> None:
        by_bin: dict[int, list[list[float]]] = {}
        for k, four in visited:
            by_bin.setdefault(self.bin_of(k), []).append(four)
        for entry, visits in by_bin.items():
            mean = [math.fsum(column) / len(visits) for column in zip(*visits, strict=True)]
            if entry in self.means:
                old = self.means[entry]
                mean = [self.decay * o + (1 - self.decay) * m for o, m in zip(old, mean, strict=True)]
            self.means[entry] = mean

    def correction(self, t: int, abar: list[float]) -> float:
        total = 0.0
        for k in range(t + 1, self.T + 1):
            if self.bin_of(k) in self.means:
                policy_w, policy_l, reference_w, reference_l = self.means[self.bin_of(k)]
                margin = (policy_w - reference_w) - (policy_l - reference_l)
                total += step_weight(k, abar) * margin
        return total


def step_weight(k: int, abar: list[float]) -> float:
    """`lambda_k`; abar[0] = 1 and abar[k] are in the paper's numbering."""
    alpha = abar[k] / abar[k - 1]
    beta = 1 - alpha
    if k == 1:  # the posterior variance of k = 2
        alpha_2 = abar[2] / abar[1]
        variance = (1 - alpha_2) * (1 - abar[1]) / (1 - abar[2])
        return beta**2 / (alpha * (1 - abar[1])) / (2 * variance)
    return beta / (2 * alpha * (1 - abar[k - 1]))


def slow_link(loss: str, z: float) -> tuple[float, float]:
    """A loss of `z`, and its derivative."""
    value = math.log1p(math.exp(-z)) if z > 0 else -z + math.log1p(math.exp(z))
    towards = math.exp(-z) / (1 + math.exp(-z)) if z > 0 else 1 / (1 + math.exp(z))
    wrong, other = 0.1, value + z  # -log sigmoid(-z)
    if loss == "ipo":
        return (z - 0.5) ** 2, 2 * (z - 0.5)
    if loss == "hinge":
        return max(0.0, 1 - z), -float(z < 1)
    if loss == "cdpo":
        return (1 - wrong) * value + wrong * other, -(1 - wrong) * towards + wrong * (1 - towards)
    if loss == "robust":
        slope = -((1 - wrong) * towards + wrong * (1 - towards)) / (1 - 2 * wrong)
        return ((1 - wrong) * value - wrong * other) / (1 - 2 * wrong), slope
    return value, -towards


def slow(
    loss: str,
    four: list[float],
    k: int,
    beta: float,
    abar: list[float],
    table: SlowTable,
    p: float | None = None,
) -> tuple[float, float | None, float, float]:
    """Loss, logit, gradient weight, and the size of the terms of the logit (for the tolerance).

    p: probability that the label is right; None where it is certain.
    """
    policy_w, policy_l, reference_w, reference_l = four
    if loss == "sft":
        return policy_w, None, 1.0, 0.0
    if loss == "mapo":
        T = len(abar) - 1
        winner, loser = (0.5 * e / (math.exp(0.5 * e) - 1) for e in (policy_w, policy_l))
        z = T * (winner - loser)
        fall = (0.5 - 0.5 * math.exp(0.5 * policy_w) * winner) / (math.exp(0.5 * policy_w) - 1)
        value = policy_w + beta * math.log(1 + math.exp(-z))
        return value, None, 1 - beta * T * fall / (1 + math.exp(z)), 0.0
    margin = (policy_w - reference_w) - (policy_l - reference_l)
    if loss == "linear-dpo":
        weight = min(max(0.5 + 0.2 * beta * margin, 0.001), 0.999)
        return weight * (policy_w - policy_l), None, weight, beta
    if loss in ANCHORED:
        gained = reference_w - policy_w
        sign = 1.0 if gained > 0 else 0.0 if gained == 0 or loss == "sspo" else -1.0
        z = -beta * 0.5 * ((policy_w - reference_w) - sign * (policy_l - reference_l))
        value, slope = slow_link(loss, z)
        return value, z, -slope * beta * 0.5, beta
    correction = 0.0
    if loss in ("uniform", *LINKS):
        front = 0.5
    elif loss == "dde-step":
        front, correction = k * step_weight(k, abar), table.correction(k, abar)
    else:
        front = 0.5 * (1 - abar[k]) / abar[k]
        correction = table.correction(k, abar) if loss == "dde" else 0.0
    z = -beta * (front * margin + correction)
    value, slope = slow_link(loss, z)
    if p is not None:
        turned, turned_slope = slow_link(loss, -z)
        value, slope = p * value + (1 - p) * turned, p * slope - (1 - p) * turned_slope
    size = (1 + abs(z)) * beta * front if loss in LINKS else beta * (front + abs(correction))
    is_logit = loss not in LINKS and p is None
    return value, z if is_logit else None, abs(slope) * beta * front, size


def as_errors(rows: Sequence[list[float]], ks: Sequence[int]) -> PairErrors:
    return PairErrors(*torch.tensor(rows, dtype=torch.float64).T, t=torch.tensor([k - 1 for k in ks]))


def predictions(chance: random.Random, B: int, size: int) -> list[list[list[float]]]:
    """What policy (winner, loser) and reference are off by, four lists of `B` latents of `size` numbers."""
    return [[[chance.gauss(0, 0.6) for _ in range(size)] for _ in range(B)] for _ in range(4)]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def seen(off: Sequence[torch.Tensor]) -> PairErrors:
    """What training hands to an objective of these residuals, (B, size) each."""
    w, l, reference_w, _ = off
    four = [part.square().mean(1) for part in off]
    distance, overlap = (w - reference_w).square().mean(1), (w * l).detach().mean(1)
    return PairErrors(*four, torch.zeros(len(w), dtype=torch.long), distance, overlap)


def margin_of(off: Sequence[Sequence[float]]) -> float:
    policy_w, policy_l, reference_w, reference_l = (mean([x * x for x in part]) for part in off)
    return (policy_w - reference_w) - (policy_l - reference_l)


def test_dspo_agrees_with_its_formula_over_predictions() -> None:
    """The square that is written out in its paper's code, and its derivative number by number."""
    chance = random.Random("dspo")
    for beta in (0.001, 0.3, 1.7):
        lists = predictions(chance, 6, 5)
        off = [torch.tensor(part, dtype=torch.float64) for part in lists]
        off[0].requires_grad_()
        output = build_objective("dspo", NoiseSchedule(torch.tensor([0.9, 0.1])), beta)(seen(off))
        (gradient,) = torch.autograd.grad(output.loss.sum(), off[0])

        def value(pair: list[list[float]], beta: float = beta) -> float:
            weight = beta / (1 + math.exp(-beta / 2 * margin_of(pair)))
            return mean([(w - weight * (w - r)) ** 2 for w, r in zip(pair[0], pair[2], strict=True)])

        for i in range(6):
            pair = [part[i] for part in lists]
            assert output.loss[i].item() == pytest.approx(value(pair), rel=1e-12)
            for k in range(5):
                moved = [
                    [[*pair[0][:k], pair[0][k] + by, *pair[0][k + 1 :]], *pair[1:]] for by in (1e-5, -1e-5)
                ]
                slope = (value(moved[0]) - value(moved[1])) / 2e-5
                assert float(gradient[i, k]) == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_sdpo_keeps_its_share_of_the_winners_descent() -> None:
    """The scale as the paper derives it, from the gradients of both errors number by number; and what it is for."""
    chance = random.Random("sdpo")
    lists = predictions(chance, 60, 3)
    off = [torch.tensor(part, dtype=torch.float64) for part in lists]
    bounded = 0
    for mu in (0.0, 0.6, 0.9, 1.0):
        schedule = NoiseSchedule(torch.tensor([0.9, 0.1]))
        objective = build_objective("sdpo", schedule, 3.0, winner_preserving=mu)
        for i, scale in enumerate(objective.scale(seen(off)).tolist()):
            g_w, g_l = ([2 * x / 3 for x in side[i]] for side in lists[:2])
            along, descent = (
                math.fsum(x * y for x, y in zip(g_w, g_l, strict=True)),
                math.fsum(x * x for x in g_w),
            )
            expected = min(1.0, (1 - mu) * descent / along) if along > 0 else 1.0
            assert scale == pytest.approx(expected, rel=1e-9)
            assert descent - scale * along >= mu * descent - 1e-12
            bounded += 0 < scale < 1
    assert bounded > 40


def test_kto_agrees_with_single_pictures_and_a_mean_of_the_step_before() -> None:
    chance = random.Random("kto")
    beta, baseline = 4.0, 0.0
    objective = build_objective("kto", NoiseSchedule(torch.tensor([0.9, 0.1])), beta)
    above = 0
    for _step in range(8):
        rows = [[float(np.float32(chance.uniform(0, 0.5))) for _ in range(4)] for _ in range(5)]
        output = objective(as_errors(rows, [1] * 5))
        for i, (policy_w, policy_l, reference_w, reference_l) in enumerate(rows):
            values = []
            for label, gain in ((1, reference_w - policy_w), (-1, reference_l - policy_l)):
                values.append(1 - 1 / (1 + math.exp(-label * beta * (gain - baseline))))
            assert output.loss[i].item() == pytest.approx(sum(values) / 2, rel=1e-9)
            weight = beta * values[0] * (1 - values[0]) / 2
            assert output.gradient_weight[i].item() == pytest.approx(weight, rel=1e-9)
        objective.observe(as_errors(rows, [1] * 5))
        gains = [row[2 + side] - row[side] for row in rows for side in (0, 1)]
        baseline = max(0.0, mean(gains))
        above += baseline > 0
    assert 0 < above < 8


HARD = ["sft", "mapo", "linear-dpo", *ANCHORED, "uniform", "dde-single", "dde-step", "dde", *LINKS]


@pytest.mark.parametrize(
    ("loss", "is_soft"), [*((loss, False) for loss in HARD), *((loss, True) for loss in HARD[5:])]
)
def test_objectives_agree_with_the_slow_version(loss: str, is_soft: bool) -> None:
    chance = random.Random(loss)
    for _ in range(CASES // 5):
        T = chance.randint(2, 14)
        abar = [1.0, *sorted((chance.uniform(0.02, 0.999) for _ in range(T)), reverse=True)]
        decay, bins = chance.choice([0.0, 0.5, 0.95]), chance.randint(1, T)
        beta = 10 ** chance.uniform(-1, 1.5)
        schedule = NoiseSchedule(torch.tensor(abar[1:], dtype=torch.float64))
        of_loss = LOSSES[loss].defaults
        of_table = {"ema_decay": decay, "correction_bins": bins}
        objective = build_objective(loss, schedule, **{**of_loss, **of_table, "beta": beta})
        table = SlowTable(T, decay, bins)
        assert (objective.corrections() is not None) == (loss in ("dde", "dde-step"))

        for _step in range(chance.randint(1, 4)):
            visited = []
            for _micro_batch in range(chance.randint(1, 3)):
                B = chance.randint(1, 5)
                # Floats that a float32 holds, as the errors of a model are.
                rows = [[float(np.float32(chance.uniform(0, 0.5))) for _ in range(4)] for _ in range(B)]
                ks = [chance.randint(1, T) for _ in range(B)]
                errors, strengths = as_errors(rows, ks), [None] * B
                if is_soft:
                    strengths = [chance.choice([0.5, 0.7, chance.uniform(0.5, 1), 1.0]) for _ in range(B)]
                    errors = replace(errors, strength=torch.tensor(strengths, dtype=torch.float64))
                output = objective(errors)
                for i, (four, k) in enumerate(zip(rows, ks, strict=True)):
                    value, z, weight, size = slow(loss, four, k, beta, abar, table, strengths[i])
                    close = {"rel": 1e-5, "abs": 1e-6 * (1 + size)}
                    assert float(output.loss[i]) == pytest.approx(value, **close)
                    assert float(output.gradient_weight[i]) == pytest.approx(weight, **close)
                    if z is None:
                        assert output.logit is None
                    else:
                        assert float(output.logit[i]) == pytest.approx(z, **close)
                visited += list(zip(ks, rows, strict=True))
            table.after_step(visited)
            if objective.corrections() is not None:
                ks, rows = zip(*visited, strict=True)
                objective.observe(as_errors(rows, ks))
                expected = [table.correction(k, abar) for k in range(1, T + 1)]
                assert objective.corrections().tolist() == pytest.approx(expected, rel=1e-9, abs=1e-12)
