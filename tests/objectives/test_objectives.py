"""Closed forms, symmetries and gradients of every objective."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
import torch
import torch.nn.functional as F

from ddecli.core.errors import UserError
from ddecli.diffusion.schedule import NoiseSchedule
from ddecli.objectives.base import Objective, PairErrors
from ddecli.objectives.registry import LOSSES, build_objective

T = 40
BETA = 3.0
PAIRWISE = ["uniform", "sdpo", "dde-single", "dde-step", "dde"]
ANCHORED = ["seppo", "sspo"]
LINKS = {"ipo": 1 / 4, "hinge": 1.0, "cdpo": math.log(2), "robust": math.log(2)}
"""Losses of Diffusion-DPO's margin with another link, and what each is where policy and reference are one."""
SIDES = ("policy_w", "policy_l", "reference_w", "reference_l")


@pytest.fixture(scope="module")
def schedule() -> NoiseSchedule:
    """A short schedule with SNR from 60 down to 0.1, exactly 1 at one timestep."""
    alphas_cumprod = torch.sigmoid(torch.linspace(4.1, -2.3, T, dtype=torch.float64))
    alphas_cumprod[25] = 0.5
    return NoiseSchedule(alphas_cumprod)


def random_errors(seed: int, B: int = 12, dtype: torch.dtype = torch.float32, t_below: int = T) -> PairErrors:
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(4, B, generator=generator, dtype=dtype) * 0.5 + 0.05
    t = torch.randint(0, t_below, (B,), generator=generator)
    distance, overlap = torch.rand(2, B, generator=generator, dtype=dtype) * 0.1
    return PairErrors(*values, t, distance, overlap - 0.05)


def pick(errors: PairErrors, index: torch.Tensor) -> PairErrors:
    values = {field.name: getattr(errors, field.name) for field in fields(PairErrors)}
    return PairErrors(**{name: value[index] for name, value in values.items() if value is not None})


def swapped(errors: PairErrors) -> PairErrors:
    return replace(
        errors,
        policy_w=errors.policy_l,
        policy_l=errors.policy_w,
        reference_w=errors.reference_l,
        reference_l=errors.reference_w,
    )


def objective_with_history(loss: str, schedule: NoiseSchedule, swap: bool = False) -> Objective:
    """The objective after it has observed two steps, which those with a table keep in mind."""
    objective = build_objective(loss, schedule, BETA)
    for seed in (100, 101):
        errors = random_errors(seed, 60)
        objective.observe(swapped(errors) if swap else errors)
    return objective


def factor(loss: str, schedule: NoiseSchedule, t: int) -> float:
    """What stands in front of `D(t)` in section 3 of the derivation, written out on its own."""
    abar = schedule.alphas_cumprod.tolist()
    if loss in ("uniform", "sdpo"):
        return 0.5
    if loss in ("dde-single", "dde"):
        return 0.5 * (1 - abar[t]) / abar[t]
    k, previous = t + 1, abar[t - 1]  # t > 0 here
    alpha = abar[t] / previous
    return k * (1 - alpha) / (2 * alpha * (1 - previous))


def test_uniform_is_the_public_formula_to_the_last_bit(schedule: NoiseSchedule) -> None:
    """`model_diff`, `ref_diff`, `scale_term`, `inside_term` as in the code published with Diffusion-DPO."""
    beta_dpo = 5000
    objective = build_objective("uniform", schedule, beta_dpo)
    errors = random_errors(1, 4096)
    model_diff = errors.policy_w - errors.policy_l
    ref_diff = errors.reference_w - errors.reference_l
    scale_term = -0.5 * beta_dpo
    inside_term = scale_term * (model_diff - ref_diff)
    output = objective(errors)
    assert torch.equal(output.logit, inside_term)
    assert torch.equal(output.loss, -F.logsigmoid(inside_term))

    # The order matters: the same margin, subtracted the other way round, differs in the last bits.
    other = (errors.policy_w - errors.reference_w) - (errors.policy_l - errors.reference_l)
    assert not torch.equal(output.logit, scale_term * other)
    torch.testing.assert_close(errors.margin, other, rtol=0, atol=2e-7)


def test_dde_single_is_uniform_where_the_snr_is_one(schedule: NoiseSchedule) -> None:
    errors = random_errors(2)
    at_snr_one = PairErrors(*(getattr(errors, s) for s in SIDES), t=torch.full_like(errors.t, 25))
    assert float(schedule.alphas_cumprod[25]) == 0.5
    uniform = build_objective("uniform", schedule, 5000)(at_snr_one)
    single = build_objective("dde-single", schedule, 5000)(at_snr_one)
    assert torch.equal(single.logit, uniform.logit)
    assert torch.equal(single.gradient_weight, uniform.gradient_weight)
    elsewhere = build_objective("dde-single", schedule, 5000)(random_errors(2))
    assert not torch.equal(elsewhere.logit, uniform.logit)


def test_dde_with_an_empty_table_is_dde_single(schedule: NoiseSchedule) -> None:
    errors = random_errors(3)
    single = build_objective("dde-single", schedule, BETA)(errors)
    assert torch.equal(build_objective("dde", schedule, BETA)(errors).logit, single.logit)
    assert not torch.equal(objective_with_history("dde", schedule)(errors).logit, single.logit)


@pytest.mark.parametrize("loss", PAIRWISE)
def test_swapping_the_sides_flips_the_logit(loss: str, schedule: NoiseSchedule) -> None:
    errors = random_errors(4)
    fresh = build_objective(loss, schedule, BETA)
    assert torch.equal(fresh(swapped(errors)).logit, -fresh(errors).logit)

    with_history = objective_with_history(loss, schedule)(errors).logit
    both_swapped = objective_with_history(loss, schedule, swap=True)(swapped(errors)).logit
    assert torch.equal(both_swapped, -with_history)


@pytest.mark.parametrize("loss", PAIRWISE)
def test_policy_equal_to_reference(loss: str, schedule: NoiseSchedule) -> None:
    """Loss ln 2 and `dL/dD = beta * factor / 2`, with the sign that lowers the winner's error."""
    errors = random_errors(5)
    t = errors.t.clamp(min=1)
    w = errors.policy_w.double().requires_grad_()
    l = errors.policy_l.double().requires_grad_()
    overlap = -torch.ones_like(w)  # the gradients of the two errors do not fight
    output = build_objective(loss, schedule, BETA)(
        PairErrors(w, l, w.detach(), l.detach(), t, overlap=overlap)
    )
    assert output.loss.tolist() == pytest.approx([math.log(2)] * 12, abs=1e-12)
    assert (output.logit == 0).all()

    output.loss.sum().backward()
    expected = [BETA * factor(loss, schedule, int(index)) / 2 for index in t]
    assert w.grad.tolist() == pytest.approx(expected, rel=1e-6)
    assert l.grad.tolist() == pytest.approx([-value for value in expected], rel=1e-6)
    assert output.gradient_weight.tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("loss", LINKS)
def test_other_links_begin_where_their_formula_says(loss: str, schedule: NoiseSchedule) -> None:
    errors = random_errors(5)
    same = PairErrors(errors.policy_w, errors.policy_l, errors.policy_w, errors.policy_l, errors.t)
    output = build_objective(loss, schedule, BETA)(same)
    assert output.loss.tolist() == pytest.approx([LINKS[loss]] * 12, abs=1e-7)
    assert output.logit is None  # of no other loss than -log sigmoid


def test_mapo_asks_no_reference(schedule: NoiseSchedule) -> None:
    """Where both images are drawn equally well it is the winner's error and beta ln 2, pulled by `beta T s'(e) / 2`."""
    objective = build_objective("mapo", schedule, 0.1)
    assert objective.needs_losers and not (objective.needs_reference or objective.has_margin)
    e = torch.tensor([0.0, 1e-6, 0.01, 0.7, 1.4], dtype=torch.float64, requires_grad=True)
    t = torch.zeros(5, dtype=torch.long)
    output = objective(PairErrors(e, e.detach(), None, None, t))
    torch.testing.assert_close(output.loss, e + 0.1 * math.log(2))
    output.loss.sum().backward()
    torch.testing.assert_close(output.gradient_weight[1:], e.grad[1:])
    assert float(e.grad[1]) == pytest.approx(1 + 0.1 * T * 0.25 / 2, rel=1e-4)  # s'(0) is -a / 2
    with pytest.raises(ValueError, match="both images"):
        objective(PairErrors(e, None, None, None, t))


def test_dspo_begins_as_fine_tuning(schedule: NoiseSchedule) -> None:
    """Policy and reference are one: the loss is the winner's error, its gradient `1 - beta / 2` times that."""
    objective = build_objective("dspo", schedule, 0.3)
    w, l = random_errors(5, dtype=torch.float64).policy_w.requires_grad_(), random_errors(6).policy_l.double()
    same = PairErrors(w, l, w.detach(), l, torch.zeros(12, dtype=torch.long))
    with pytest.raises(ValueError, match="distance"):
        objective(same)
    output = objective(replace(same, distance=torch.zeros_like(w)))
    torch.testing.assert_close(output.loss, w)
    output.loss.sum().backward()
    torch.testing.assert_close(w.grad, torch.full_like(w, 1 - 0.3 / 2))


def test_sdpo_is_diffusion_dpo_but_for_the_losers_gradient(schedule: NoiseSchedule) -> None:
    errors = random_errors(13, dtype=torch.float64)
    gradients = {}
    for loss in ("uniform", "sdpo"):
        w, l = (getattr(errors, side).clone().requires_grad_() for side in ("policy_w", "policy_l"))
        output = build_objective(loss, schedule, BETA)(replace(errors, policy_w=w, policy_l=l))
        gradients[loss] = output.loss, *torch.autograd.grad(output.loss.sum(), (w, l))
    (value, by_w, by_l), (sdpo, sdpo_by_w, sdpo_by_l) = gradients["uniform"], gradients["sdpo"]
    assert torch.equal(value, sdpo) and torch.equal(by_w, sdpo_by_w)
    torch.testing.assert_close(sdpo_by_l, by_l * build_objective("sdpo", schedule, BETA).scale(errors))
    with pytest.raises(ValueError, match="overlap"):
        build_objective("sdpo", schedule, BETA)(replace(errors, overlap=None))


def test_linear_dpo_weighs_the_policys_errors(schedule: NoiseSchedule) -> None:
    """At the start half their difference; a pair's weight falls by `0.2 beta |D|`, never to nothing."""
    objective = build_objective("linear-dpo", schedule, BETA)
    w, l = random_errors(5).policy_w, random_errors(5).policy_l
    t = torch.zeros(12, dtype=torch.long)
    assert torch.equal(objective(PairErrors(w, l, w, l, t)).loss, (w - l) / 2)
    learned = objective(PairErrors(w, l, w + 0.1, l, t)).gradient_weight
    torch.testing.assert_close(learned, torch.full((12,), 0.5 - 0.2 * BETA * 0.1))
    for sign in (1, -1):
        far = objective(PairErrors(w, l, w + sign * 100, l, t)).gradient_weight
        torch.testing.assert_close(far, torch.full((12,), 0.5 - sign * 0.499))


def test_kto_begins_at_one_half_and_keeps_its_baseline(schedule: NoiseSchedule) -> None:
    objective = build_objective("kto", schedule, BETA)
    errors = random_errors(5)
    same = replace(errors, reference_w=errors.policy_w, reference_l=errors.policy_l)
    assert (objective(same).loss == 0.5).all() and objective.corrections() is None
    torch.testing.assert_close(objective(same).gradient_weight, torch.full((12,), BETA / 8))
    objective.observe(replace(same, reference_w=errors.policy_w + 0.3))  # a gain of 0.15 on the whole
    # what one picture loses the other wins
    torch.testing.assert_close(objective(same).loss, torch.full((12,), 0.5))
    assert (objective(same).gradient_weight < BETA / 8).all()
    again = build_objective("kto", schedule, BETA)
    again.load_state_dict(objective.state_dict())
    assert torch.equal(again(errors).loss, objective(errors).loss)
    objective.observe(replace(same, reference_w=errors.policy_w - 0.3))  # never below 0
    assert objective.state_dict()["baseline"] == 0
    with pytest.raises(UserError, match="no baseline"):
        again.load_state_dict({})
    with pytest.raises(ValueError, match="both images"):
        again(PairErrors(errors.policy_w, None, None, None, errors.t))


def test_an_anchor_has_the_references_picture_push_or_pull(schedule: NoiseSchedule) -> None:
    """At the start ln 2 and the winner's half of Diffusion-DPO's gradient; then each pair by its own winner."""
    w, l = random_errors(5).policy_w, random_errors(5).policy_l
    t = torch.zeros(12, dtype=torch.long)
    for loss in ANCHORED:
        sides = [w.clone().requires_grad_(), l.clone().requires_grad_()]
        output = build_objective(loss, schedule, BETA)(PairErrors(*sides, w, l, t))
        assert (
            output.loss.tolist() == pytest.approx([math.log(2)] * 12, abs=1e-7) and (output.logit == 0).all()
        )
        by_w, by_l = torch.autograd.grad(output.loss.sum(), sides)
        torch.testing.assert_close(by_w, torch.full((12,), BETA / 4))
        assert (by_l == 0).all()  # neither draws the winner better
    errors = random_errors(16, 60)
    better = errors.policy_w < errors.reference_w
    assert 10 < better.sum() < 50
    own_w, own_l = errors.policy_w - errors.reference_w, errors.policy_l - errors.reference_l
    for loss, anchor, otherwise in (
        ("seppo", None, -1.0), ("sspo", None, 0.0), ("seppo", "switch", 0.0), ("sspo", "push-pull", -1.0),
        ("seppo", "none", 1.0), ("sspo", "none", 1.0),
    ):  # fmt: skip
        asked = LOSSES[loss].defaults["anchor"] if anchor is None else anchor
        found = build_objective(loss, schedule, BETA, anchor=asked)(errors).loss
        s = torch.where(better, 1.0, otherwise)
        torch.testing.assert_close(found, -F.logsigmoid(-BETA / 2 * (own_w - s * own_l)))
        if asked == "none":
            assert torch.equal(found, build_objective("uniform", schedule, BETA)(errors).loss)
    with pytest.raises(ValueError, match="both images"):
        build_objective("seppo", schedule, BETA)(PairErrors(w, None, None, None, t))


def loss_at(
    loss: str, schedule: NoiseSchedule, z: torch.Tensor, p: float | None = None, **settings: float
) -> torch.Tensor:
    """The loss of pairs whose `z` is given, and the probability that their labels are right."""
    zeros = torch.zeros_like(z)
    strength = None if p is None else torch.full_like(z, p)
    t = torch.zeros(len(z), dtype=torch.long)
    errors = PairErrors(-2 * z / BETA, zeros, zeros, zeros, t, strength=strength)
    return build_objective(loss, schedule, BETA, **settings)(errors).loss


def test_links_are_least_where_they_should_be(schedule: NoiseSchedule) -> None:
    z = torch.linspace(-4, 4, 801, dtype=torch.float64)
    assert float(z[loss_at("ipo", schedule, z).argmin()]) == pytest.approx(0.5)
    least = z[loss_at("cdpo", schedule, z, label_smoothing=0.2).argmin()]
    assert float(torch.sigmoid(least)) == pytest.approx(0.8, abs=2e-3)
    hinge = loss_at("hinge", schedule, z)
    assert (hinge[z >= 1] < 1e-12).all() and torch.allclose(hinge[z < 1], 1 - z[z < 1])


def test_without_wrong_labels_conservative_and_robust_are_diffusion_dpo(schedule: NoiseSchedule) -> None:
    z = torch.linspace(-4, 4, 81, dtype=torch.float64)
    for loss in ("cdpo", "robust"):
        found = loss_at(loss, schedule, z, label_smoothing=0.0)
        torch.testing.assert_close(found, -F.logsigmoid(z))


@pytest.mark.parametrize("p", [0.5, 0.7, 0.95])
def test_soft_labels_are_least_where_the_vote_says(p: float, schedule: NoiseSchedule) -> None:
    """The cross-entropy with a label of `p`, and IPO's regression to `p - 1/2`; both as the field writes them."""
    z = torch.linspace(-4, 4, 8001, dtype=torch.float64)
    found = loss_at("uniform", schedule, z, p)
    torch.testing.assert_close(found, -p * F.logsigmoid(z) - (1 - p) * F.logsigmoid(-z))
    assert float(torch.sigmoid(z[found.argmin()])) == pytest.approx(p, abs=2e-3)
    assert float(z[loss_at("ipo", schedule, z, p).argmin()]) == pytest.approx(p - 0.5, abs=2e-3)
    # One wrong label in ten for every pair is conservative DPO's smoothing.
    conservative = loss_at("cdpo", schedule, z, label_smoothing=0.1)
    torch.testing.assert_close(loss_at("uniform", schedule, z, 0.9), conservative)


@pytest.mark.parametrize("loss", [*PAIRWISE, *LINKS])
def test_a_certain_soft_label_is_a_hard_one_to_the_last_bit(loss: str, schedule: NoiseSchedule) -> None:
    objective = objective_with_history(loss, schedule)
    assert objective.takes_strengths
    seen = []
    for strength in (None, torch.ones(12)):
        errors = random_errors(14)
        sides = [getattr(errors, side).requires_grad_() for side in SIDES]
        output = objective(PairErrors(*sides, errors.t, errors.distance, errors.overlap, strength))
        gradients = torch.autograd.grad(output.loss.sum(), sides)
        seen.append(torch.stack([output.loss, output.gradient_weight, *gradients]))
    assert torch.equal(*seen)


@pytest.mark.parametrize("loss", [*PAIRWISE, *LINKS])
def test_an_even_vote_says_nothing_where_policy_and_reference_are_one(
    loss: str, schedule: NoiseSchedule
) -> None:
    """And later it holds a pair back, on either side alike."""
    errors = random_errors(15)
    w = errors.policy_w.clone().requires_grad_()
    even = torch.full((12,), 0.5)
    output = build_objective(loss, schedule, BETA)(
        replace(errors, policy_w=w, reference_w=errors.policy_w, reference_l=errors.policy_l, strength=even)
    )
    (gradient,) = torch.autograd.grad(output.loss.sum(), w)
    assert (gradient == 0).all() and (output.gradient_weight == 0).all()
    if loss not in PAIRWISE:
        z = torch.linspace(-4, 4, 81, dtype=torch.float64)
        torch.testing.assert_close(loss_at(loss, schedule, z, 0.5), loss_at(loss, schedule, -z, 0.5))


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_robust_dpo_is_unbiased(share: float, schedule: NoiseSchedule) -> None:
    """Its mean over labels of which a share is turned round is Diffusion-DPO's loss on the right ones."""
    z = torch.linspace(-4, 4, 81, dtype=torch.float64)
    right, turned = (loss_at("robust", schedule, side * z, label_smoothing=share) for side in (1, -1))
    torch.testing.assert_close((1 - share) * right + share * turned, -F.logsigmoid(z))


@pytest.mark.parametrize("loss", PAIRWISE)
def test_learning_the_preference_lowers_the_loss(loss: str, schedule: NoiseSchedule) -> None:
    errors = random_errors(6)
    objective = objective_with_history(loss, schedule)
    better = replace(errors, policy_w=errors.policy_w - 0.04)
    assert (objective(better).loss < objective(errors).loss).all()


@pytest.mark.parametrize("p", [None, 0.7])
@pytest.mark.parametrize("loss", [*ANCHORED, "dspo", "linear-dpo", "kto", *PAIRWISE, *LINKS])
def test_gradient_weight_is_the_gradient_by_the_margin(
    loss: str, p: float | None, schedule: NoiseSchedule
) -> None:
    """Autograd's `|dL/dD|`: D moves with policy_w one to one, and the table is a constant."""
    objective = objective_with_history(loss, schedule)
    errors = random_errors(7, dtype=torch.float64)
    if p is not None:
        errors = replace(errors, strength=torch.full_like(errors.policy_w, p))
    w = errors.policy_w.clone().requires_grad_()
    output = objective(replace(errors, policy_w=w))
    (gradient,) = torch.autograd.grad(output.loss.sum(), w)
    torch.testing.assert_close(output.gradient_weight, gradient.abs(), rtol=1e-6, atol=1e-12)
    assert (gradient > 0).all() or loss not in PAIRWISE or p is not None
    assert not output.gradient_weight.requires_grad


@pytest.mark.parametrize("loss", ["sft", "mapo", "dspo", "kto", *ANCHORED, *PAIRWISE, *LINKS])
def test_gradcheck(loss: str, schedule: NoiseSchedule) -> None:
    objective = objective_with_history(loss, schedule)
    errors = random_errors(8, 6, torch.float64)
    inputs = [getattr(errors, side).clone().requires_grad_() for side in SIDES]
    inputs.append(errors.distance.clone().requires_grad_())
    overlap = -errors.distance  # where it is above 0, sdpo's gradient is on purpose none of its loss
    assert torch.autograd.gradcheck(
        lambda *e: objective(PairErrors(*e[:4], errors.t, e[4], overlap)).loss, inputs
    )


@pytest.mark.parametrize("loss", ["sft", "mapo", "dspo", "linear-dpo", "kto", *ANCHORED, *PAIRWISE, *LINKS])
def test_a_batch_is_its_pairs_one_by_one_in_any_order(loss: str, schedule: NoiseSchedule) -> None:
    objective = objective_with_history(loss, schedule)
    errors = random_errors(9, 13)
    whole = objective(errors)
    order = torch.randperm(13, generator=torch.Generator().manual_seed(1))
    permuted = objective(pick(errors, order))
    singles = [objective(pick(errors, torch.tensor([i]))) for i in range(13)]
    for name in ("loss", "logit", "gradient_weight"):
        values = getattr(whole, name)
        if values is None:
            assert name == "logit" and loss not in PAIRWISE + ANCHORED
            continue
        assert values.shape == (13,)
        one_by_one = torch.cat([getattr(single, name) for single in singles])
        torch.testing.assert_close(one_by_one, values, rtol=1e-6, atol=0)
        torch.testing.assert_close(getattr(permuted, name), values[order], rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss", PAIRWISE)
def test_far_logits_stay_finite(loss: str, schedule: NoiseSchedule) -> None:
    objective = build_objective(loss, schedule, 1e6)
    errors = random_errors(10)
    output = objective(errors)
    for values in (output.loss, output.gradient_weight):
        assert values.isfinite().all()
        assert (values >= 0).all()


def test_sft_looks_at_winners_only(schedule: NoiseSchedule) -> None:
    objective = build_objective("sft", schedule, BETA)
    policy_w = random_errors(11).policy_w
    output = objective(PairErrors(policy_w, None, None, None, torch.zeros(12, dtype=torch.long)))
    assert not (objective.needs_losers or objective.needs_reference or objective.has_margin)
    assert torch.equal(output.loss, policy_w)
    assert output.logit is None
    assert torch.equal(output.gradient_weight, torch.ones(12))
    for loss in PAIRWISE:
        pairwise = build_objective(loss, schedule, BETA)
        assert pairwise.needs_losers and pairwise.needs_reference and pairwise.has_margin
        with pytest.raises(ValueError, match="both images"):
            pairwise(PairErrors(policy_w, None, None, None, torch.zeros(12, dtype=torch.long)))


@pytest.mark.parametrize("loss", ["dde", "dde-step"])
def test_the_table_is_read_as_the_step_before_left_it(loss: str, schedule: NoiseSchedule) -> None:
    objective = build_objective(loss, schedule, BETA)
    errors = random_errors(12, 30, t_below=T - 1)
    before = objective(errors).logit
    assert torch.equal(objective(errors).logit, before)  # a call does not move the table
    objective.observe(errors)
    assert not torch.equal(objective(errors).logit, before)
    # The correction is a shift of the logit by -beta C(t), and a number without gradient.
    shift = -BETA * objective.corrections()[errors.t].float()
    torch.testing.assert_close(objective(errors).logit - before, shift, rtol=1e-4, atol=1e-5)
    assert not objective.correction(errors.t).requires_grad
