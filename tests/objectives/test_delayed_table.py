"""The delayed table: Algorithm 1, what the correction stands for, micro-batches, and checkpoints."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import PairErrors
from ddecli.objectives.delayed_table import DelayedTable

T = 12
ABAR = torch.linspace(0.97, 0.05, T, dtype=torch.float64)


@pytest.fixture(scope="module")
def schedule() -> NoiseSchedule:
    return NoiseSchedule(ABAR)


def errors_at(t: list[int], policy_w: list[float]) -> PairErrors:
    """Errors whose margin is `policy_w`: the other three are zero."""
    zero = torch.zeros(len(t))
    return PairErrors(torch.tensor(policy_w), zero, zero, zero, torch.tensor(t))


def random_errors(seed: int, B: int) -> PairErrors:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(4, B, generator=generator) + 0.01
    return PairErrors(*values, t=torch.randint(0, T, (B,), generator=generator))


def part_of(errors: PairErrors, part: slice) -> PairErrors:
    sides = (errors.policy_w, errors.policy_l, errors.reference_w, errors.reference_l, errors.t)
    return PairErrors(*(side[part] for side in sides))


def gathered(parts: list[PairErrors]) -> PairErrors:
    names = ("policy_w", "policy_l", "reference_w", "reference_l", "t")
    return PairErrors(*(torch.cat([vars(part)[name] for part in parts]) for name in names))


def test_the_correction_is_the_expected_log_importance_ratio() -> None:
    """`C(t)` of one error is `-E_q[log prod_{k>t} r_k]`, measured on a one-dimensional chain.

    The model is `eps_theta(x_k) = a_k x_k + b_k`, so its reverse means are linear in `x_k`.
    """
    schedule = NoiseSchedule(ABAR)
    abar = [1.0, *ABAR.tolist()]
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 0.3, T + 1), rng.normal(0, 0.3, T + 1)
    x0, samples = 0.7, 40_000
    x = rng.normal(math.sqrt(abar[T]) * x0, math.sqrt(1 - abar[T]), samples)
    log_ratio = np.zeros(samples)
    table = DelayedTable(schedule)
    for k in range(T, 1, -1):
        eps = (x - math.sqrt(abar[k]) * x0) / math.sqrt(1 - abar[k])
        alpha = abar[k] / abar[k - 1]
        variance = (1 - alpha) * (1 - abar[k - 1]) / (1 - abar[k])
        mean_q, mean_theta = (
            (x - (1 - alpha) / math.sqrt(1 - abar[k]) * noise) / math.sqrt(alpha)  # Ho et al. 2020, Eq. 11
            for noise in (eps, a[k] * x + b[k])
        )
        error = float(np.mean((eps - a[k] * x - b[k]) ** 2))
        table.update(errors_at([k - 1], [error]))

        x = rng.normal(mean_q, math.sqrt(variance))
        log_ratio += norm.logpdf(x, mean_theta, math.sqrt(variance)) - norm.logpdf(
            x, mean_q, math.sqrt(variance)
        )
        standard_error = log_ratio.std() / math.sqrt(samples)
        correction = float(table.correction(torch.tensor([k - 2])))  # t = k - 1, index k - 2: the steps k..T
        assert abs(-correction - log_ratio.mean()) < 4.5 * standard_error
        assert standard_error < 0.02 * correction


def test_first_visit_sets_later_visits_average(schedule: NoiseSchedule) -> None:
    table = DelayedTable(schedule, ema_decay=0.9)
    weight = float(schedule.step_weights[5])
    below = torch.tensor([4])
    assert float(table.correction(below)) == 0
    table.update(errors_at([5, 5], [0.2, 0.6]))  # the mean over the step's visits, once
    assert float(table.correction(below)) == pytest.approx(weight * 0.4)
    table.update(errors_at([3], [9.0]))  # entry 5 is not visited and stays
    assert float(table.correction(below)) == pytest.approx(weight * 0.4)
    table.update(errors_at([5], [1.0]))
    assert float(table.correction(below)) == pytest.approx(weight * (0.9 * 0.4 + 0.1 * 1.0))


def test_a_first_visit_of_zero_is_a_visit(schedule: NoiseSchedule) -> None:
    table = DelayedTable(schedule, ema_decay=0.9)
    table.update(errors_at([5], [0.0]))
    table.update(errors_at([5], [1.0]))
    expected = float(schedule.step_weights[5]) * 0.1
    assert float(table.correction(torch.tensor([4]))) == pytest.approx(expected)


def test_only_steps_above_t_count(schedule: NoiseSchedule) -> None:
    table = DelayedTable(schedule)
    table.update(errors_at([5], [1.0]))
    corrections = table.corrections()
    assert (corrections[:5] > 0).all()
    assert (corrections[5:] == 0).all()
    assert float(corrections[T - 1]) == 0  # nothing lies above the noisiest timestep
    assert torch.equal(table.correction(torch.arange(T)), corrections.float())


def test_bins_pool_neighbouring_timesteps(schedule: NoiseSchedule) -> None:
    table = DelayedTable(schedule, bins=5)  # of 12: 0-2, 3-4, 5-7, 8-9, 10-11
    table.update(errors_at([5, 7, 7], [0.3, 0.6, 0.9]))
    weights = schedule.step_weights
    expected = torch.tensor([0.6 * float(weights[max(t + 1, 5) : 8].sum()) for t in range(T)])
    torch.testing.assert_close(table.corrections().float(), expected)


def test_the_order_in_which_a_step_is_gathered_leaves_no_trace(schedule: NoiseSchedule) -> None:
    """However a batch was cut into micro-batches and processes: a float64 holds the sums without rounding."""
    tables = [DelayedTable(schedule, bins=7) for _ in range(3)]
    for seed in range(4):
        errors = random_errors(seed, 96)
        cuts = (
            [slice(None)],
            [slice(64, 96), slice(0, 32), slice(32, 64)],
            [slice(1, 96, 2), slice(0, 96, 2)],
        )
        for table, cut in zip(tables, cuts, strict=True):
            table.update(gathered([part_of(errors, part) for part in cut]))
    for table in tables[1:]:
        assert all(
            torch.equal(table.state_dict()[key], value) for key, value in tables[0].state_dict().items()
        )
        assert torch.equal(table.corrections(), tables[0].corrections())
    assert tables[0].corrections()[0] != 0


def test_state_dict_goes_round_bit_for_bit(schedule: NoiseSchedule, tmp_path) -> None:
    table, resumed = DelayedTable(schedule), DelayedTable(schedule)
    for seed in range(3):
        table.update(random_errors(seed, 5))
    torch.save(table.state_dict(), tmp_path / "table.pt")
    resumed.load_state_dict(torch.load(tmp_path / "table.pt", weights_only=True))
    assert torch.equal(resumed.corrections(), table.corrections())
    for seed in range(3, 6):  # what was not visited before the checkpoint is still a first visit after it
        for each in (table, resumed):
            each.update(random_errors(seed, 5))
    assert torch.equal(resumed.corrections(), table.corrections())
    for name, value in table.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value)


def test_a_saved_state_does_not_change_with_the_table(schedule: NoiseSchedule) -> None:
    table = DelayedTable(schedule)
    table.update(random_errors(0, 20))
    state = table.state_dict()
    kept = {name: value.clone() for name, value in state.items()}
    table.update(random_errors(1, 20))
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_wrong_use_is_refused(schedule: NoiseSchedule) -> None:
    with pytest.raises(UserError, match="EMA decay"):
        DelayedTable(schedule, ema_decay=1.0)
    for bins in (0, T + 1):
        with pytest.raises(UserError, match="correction bins"):
            DelayedTable(schedule, bins=bins)
    table = DelayedTable(schedule)
    with pytest.raises(UserError, match="has 4 correction bins, this run 12"):
        table.load_state_dict(DelayedTable(schedule, bins=4).state_dict())
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not finite"):
            table.update(errors_at([1, 2], [0.1, value]))
    assert (table.corrections() == 0).all()  # nothing of a refused step entered
    one = torch.ones(1)
    with pytest.raises(ValueError, match="both images"):
        table.update(PairErrors(one, None, None, None, torch.zeros(1, dtype=torch.long)))


def test_the_table_takes_no_gradient(schedule: NoiseSchedule) -> None:
    table = DelayedTable(schedule)
    errors = random_errors(0, 20)
    errors.policy_w.requires_grad_()
    table.update(errors)
    assert not table.corrections().requires_grad
