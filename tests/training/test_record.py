"""Metrics and the credit map against slow versions; the brake."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import ObjectiveOutput, PairErrors
from ddecli.objectives.losses.dde import DDE
from ddecli.objectives.losses.uniform import Uniform
from ddecli.training.record import Brake, CreditMap, MetricsLog, columns_of, errors_of, step_metrics

SCHEDULE = NoiseSchedule.from_scheduler(DDIMScheduler())


def some_errors(size: int = 64) -> PairErrors:
    generator = torch.Generator().manual_seed(0)
    parts = torch.rand(4, size, generator=generator)
    return PairErrors(*parts, t=torch.randint(1000, (size,), generator=generator))


def some_columns() -> torch.Tensor:
    errors = some_errors()
    return columns_of(errors, Uniform(SCHEDULE, 10.0)(errors))


def test_errors_survive_gathering() -> None:
    errors = some_errors()
    found = errors_of(columns_of(errors, Uniform(SCHEDULE, 10.0)(errors)))
    for name in ("policy_w", "policy_l", "reference_w", "reference_l", "t"):
        assert torch.equal(getattr(found, name), getattr(errors, name)), name


def test_step_metrics_against_numpy() -> None:
    columns = some_columns()
    w, l, rw, rl = columns[:, 1:5].numpy().T
    margin = (w - l) - (rw - rl)
    logit = -5 * margin
    found = step_metrics(columns)
    assert found["loss"] == pytest.approx(np.log1p(np.exp(-logit)).mean(), rel=1e-5)
    assert found["margin_q05"] == pytest.approx(np.quantile(margin, 0.05), rel=1e-5)
    assert found["implicit_accuracy"] == pytest.approx((logit > 0).mean())


def test_what_was_learned_before_is_no_accuracy() -> None:
    """DDE's logit holds the correction term, the same for all pairs of a timestep; the accuracy does not."""
    dde = DDE(SCHEDULE, 1000.0)
    t = torch.arange(1000)
    ahead = PairErrors(*(torch.full((1000,), value) for value in (0.1, 0.3, 0.2, 0.2)), t=t)
    dde.observe(ahead)
    errors = some_errors()
    output = dde(errors)
    assert (output.logit > 0).float().mean() > 0.6
    found = step_metrics(columns_of(errors, output))
    assert found["implicit_accuracy"] == pytest.approx((errors.margin < 0).double().mean().item())


def test_a_loss_without_pairs_has_the_same_metrics() -> None:
    errors = some_errors()
    absent = ObjectiveOutput(errors.policy_w, None, errors.policy_w)
    found = step_metrics(columns_of(errors, absent), has_margin=False)
    assert found.keys() == step_metrics(some_columns()).keys()
    assert found["margin"] is None and found["implicit_accuracy"] is None and found["logit"] is None


def test_a_loss_of_pairs_without_a_logit_has_margin_and_accuracy() -> None:
    errors = some_errors()
    hinge = ObjectiveOutput((0.3 + errors.margin).relu(), None, (errors.margin > -0.3).float())
    found, with_logit = step_metrics(columns_of(errors, hinge)), step_metrics(some_columns())
    for name in ("implicit_accuracy", "margin", "margin_q05", "margin_q50", "margin_q95", "error_policy_l"):
        assert found[name] == with_logit[name] is not None, name
    assert found["logit"] is None and found["logit_std"] is None


def test_credit_map_against_a_loop(tmp_path: Path) -> None:
    columns = some_columns()
    credit = CreditMap(steps=2, num_timesteps=1000)
    credit.add(1, columns, None)
    credit.save(tmp_path / "credit.npz", {})
    saved = np.load(tmp_path / "credit.npz")
    for number in range(50):
        inside = [row for row in columns.tolist() if 20 * number <= row[0] < 20 * (number + 1)]
        assert saved["count"][1, number] == len(inside)
        assert saved["gradient_weight_sum"][1, number] == pytest.approx(sum(row[7] for row in inside))
        sigmoid = [1 / (1 + math.exp(row[6])) for row in inside]
        assert saved["sigmoid_sum"][1, number] == pytest.approx(sum(sigmoid))
        assert saved["sigmoid_square_sum"][1, number] == pytest.approx(sum(each**2 for each in sigmoid))
    assert saved["count"][0].sum() == saved["sigmoid_sum"][0].sum() == 0
    assert "gradient_norm_sum" not in saved.files


def test_sigmoid_factor_and_gradient_weight_are_the_same_where_the_coefficient_is_one(tmp_path: Path) -> None:
    """Of Diffusion-DPO the weight is `sigmoid(-z) beta / 2` at every timestep."""
    credit = CreditMap(steps=1, num_timesteps=1000)
    credit.add(0, some_columns(), None)
    torch.testing.assert_close(credit.weight_sum, 5 * credit.sigmoid_sum, rtol=1e-6, atol=0)


def test_norms_of_gradients_are_counted_where_they_were_measured(tmp_path: Path) -> None:
    errors = some_errors()
    norms = torch.full((64,), torch.nan, dtype=torch.float64)
    norms[3:9] = torch.arange(6.0).double()
    credit = CreditMap(steps=1, num_timesteps=1000)
    output = Uniform(SCHEDULE, 10.0)(errors)
    weight = output.gradient_weight
    credit.add(0, columns_of(errors, output, norms), None)
    credit.save(tmp_path / "credit.npz", {})
    saved = np.load(tmp_path / "credit.npz")
    for number in range(50):
        inside = [float(norms[row]) for row in range(3, 9) if int(errors.t[row]) // 20 == number]
        assert saved["gradient_norm_count"][0, number] == len(inside)
        assert saved["gradient_norm_sum"][0, number] == pytest.approx(sum(inside))
        weights = [float(weight[row]) for row in range(3, 9) if int(errors.t[row]) // 20 == number]
        assert saved["gradient_norm_weight_sum"][0, number] == pytest.approx(sum(weights))
    assert saved["count"].sum() == 64


def test_a_factor_that_is_not_known_of_all_steps_is_left_out(tmp_path: Path) -> None:
    """Of losses without a logit, and of a run that began when it was not recorded."""
    errors = some_errors()
    no_logit = CreditMap(steps=1, num_timesteps=1000)
    no_logit.add(0, columns_of(errors, ObjectiveOutput(errors.policy_w, None, errors.policy_w)), None)
    earlier = CreditMap(steps=1, num_timesteps=1000)
    earlier.add(0, some_columns(), None)
    state = {name: earlier.state()[name] for name in ("weight_sum", "count", "corrections")}
    resumed = CreditMap(steps=2, num_timesteps=1000)
    resumed.load(state)
    resumed.add(1, some_columns(), None)
    assert torch.equal(resumed.count[0], resumed.count[1])
    for number, credit in enumerate((no_logit, resumed)):
        credit.save(tmp_path / f"{number}.npz", None)
        assert "sigmoid_sum" not in np.load(tmp_path / f"{number}.npz").files
    whole = CreditMap(steps=2, num_timesteps=1000)
    whole.load(earlier.state())
    assert torch.equal(whole.sigmoid_sum[0], earlier.sigmoid_sum[0])


def test_a_resumed_log_drops_what_will_be_written_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)
    for step in range(4):
        log.write({"step": step})
    log.close()
    log = MetricsLog(tmp_path / "metrics.jsonl", 2)
    log.write({"step": 2})
    log.close()
    assert (tmp_path / "metrics.jsonl").read_text().count("\n") == 3


@pytest.mark.parametrize(
    ("metrics", "norm"),
    [
        ({"loss": math.nan, "error_policy_w": 0.1, "error_reference_w": 0.1}, 1.0),
        ({"loss": 0.6, "error_policy_w": 0.1, "error_reference_w": 0.1}, math.inf),
        ({"loss": 0.6, "error_policy_w": 0.5, "error_reference_w": 0.1}, 1.0),
    ],
)
def test_the_brake_stops_a_broken_run(tmp_path: Path, metrics: dict, norm: float) -> None:
    with pytest.raises(UserError, match="stopped at step 3"):
        Brake(tmp_path, 4.0).check(3, metrics, norm)


def test_many_times_a_small_error_is_no_alarm(tmp_path: Path) -> None:
    Brake(tmp_path, 4.0).check(3, {"loss": 0.6, "error_policy_w": 0.2, "error_reference_w": 0.01}, 1.0)


def test_the_brake_without_a_reference_compares_with_the_first_step(tmp_path: Path) -> None:
    brake = Brake(tmp_path, 4.0)
    brake.check(0, {"loss": 0.1, "error_policy_w": 0.1, "error_reference_w": None}, 1.0)
    with pytest.raises(UserError, match="5.0 times"):
        brake.check(1, {"loss": 0.5, "error_policy_w": 0.5, "error_reference_w": None}, 1.0)


def test_scaled_gradients_may_overflow_twenty_times_in_a_row(tmp_path: Path) -> None:
    brake, good = Brake(tmp_path, 4.0), {"loss": 0.6, "error_policy_w": 0.1, "error_reference_w": 0.1}
    for _ in range(2):
        for step in range(20):
            brake.check(step, good, math.inf, is_scaled=True)
        brake.check(20, good, 1.0, is_scaled=True)
    for step in range(20):
        brake.check(step, good, math.nan, is_scaled=True)
    with pytest.raises(UserError, match="stopped at step 20: the loss or its gradient is no longer a number"):
        brake.check(20, good, math.inf, is_scaled=True)


def test_the_brake_says_which_checkpoint_is_kept(tmp_path: Path) -> None:
    bad = {"loss": math.inf, "error_policy_w": 0.1, "error_reference_w": 0.1}
    with pytest.raises(UserError, match="No checkpoint had been written yet"):
        Brake(tmp_path, 4.0).check(3, bad, 1.0)
    (tmp_path / "step-000002").mkdir()
    with pytest.raises(UserError, match="The checkpoint of step 2 is kept"):
        Brake(tmp_path, 4.0).check(3, bad, 1.0)


@pytest.mark.parametrize("longer", [2, 5])
def test_a_credit_map_goes_on_in_a_run_of_other_length(longer: int, tmp_path: Path) -> None:
    dde = DDE(SCHEDULE, 1000.0)
    dde.observe(some_errors())
    first, second = CreditMap(3, 1000), CreditMap(longer, 1000)
    for step in range(2):
        columns = some_columns()
        columns[:, 8] = 1.5  # every norm was measured
        first.add(step, columns * (step + 1) % 1000, dde.corrections())
    second.load(first.state())
    for name, value in first.state().items():
        assert value.any() and torch.equal(second.state()[name][:2], value[:2]), name
        assert not second.state()[name][2:].any() and len(second.state()[name]) == longer
    second.save(tmp_path / "credit.npz", dde.state_dict())
    saved = np.load(tmp_path / "credit.npz")
    expected = dde.corrections()[torch.arange(0, 1000, 20)]
    assert np.array_equal(saved["corrections"][1], expected.numpy()) and expected.any()
    assert np.array_equal(saved["bin_edges"], np.arange(0, 1001, 20))
    assert np.array_equal(saved["table_means"], dde.state_dict()["means"].numpy())
