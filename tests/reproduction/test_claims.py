"""Every kind of rule on results whose outcome is known: holds, fails, open, not measured."""

from __future__ import annotations

import math
import random
import statistics

import numpy as np
import pytest
from scipy.stats import spearmanr, t, ttest_1samp
from score_sets import score_set

from ddecli.core.segments import CLEAN, MIDDLE, NOISE
from ddecli.reproduction.claims.corrections import CorrectionsFall, CorrectionsSettle, CorrectionsWeaken
from ddecli.reproduction.claims.credit import CoefficientsRise, CreditWeight
from ddecli.reproduction.claims.inception_rises import InceptionRises
from ddecli.reproduction.claims.saturation import Saturation
from ddecli.reproduction.claims.scores import BeatRatios, ScoresCompare
from ddecli.reproduction.claims.verdicts import (
    NOT_MEASURED,
    NOT_REPRODUCED,
    REPRODUCED,
    UNDECIDED,
    ClaimComparison,
    Outcome,
)
from ddecli.reproduction.evidence import Evidence, ModelEvidence, TrainedRun
from ddecli.reproduction.papers.dde import CLAIMS, judge
from ddecli.stats.compare import compare, pairs_won
from ddecli.stats.intervals import Interval, corrected_level
from ddecli.stats.runs import Credit, Metrics
from ddecli.tables.build import score_table
from ddecli.tables.inception_table import METRIC, InceptionResult
from ddecli.tables.paper import figure

PROMPTS, IMAGES = 50, 2
EDGES = np.linspace(0, 1, 51)
MIDDLES = (EDGES[:-1] + EDGES[1:]) / 2


def images(shift: float, training: int, noise: float = 0.02) -> np.ndarray:
    """Scores `(prompts, images)` that lie `shift` above the base's, which have a spread of 0.1 over prompts."""
    common = 1 + 0.1 * np.random.default_rng(7).normal(size=(PROMPTS, 1))
    return common + shift + noise * np.random.default_rng(100 + training).normal(size=(PROMPTS, IMAGES))


def evidence(shifts: dict[str, list[float]], metrics=("clip", "hps", "pickscore"), **given) -> Evidence:
    """One model for SD15; of every row the shift of each training over the base."""
    sets, training = {}, 0
    for row, values in ({"base": [0.0]} | shifts).items():
        sets[row] = []
        for shift in values:
            training += 1
            scores = {name: images(shift, training) for name in metrics}
            sets[row].append(score_set(f"{row}-{training}", scores, f"{row}-{training}"))
    segments = [row for row in shifts if row[0].isdigit()]
    fields = {"runs": {}, "inception": {}} | given
    return Evidence({"tiny": ModelEvidence("tiny", "SD15", sets, segments, **fields)})


def answers(outcome: Outcome) -> list[str]:
    return [each.answer for each in outcome.comparisons]


@pytest.mark.parametrize(
    ("shifts", "verdict"),
    [
        ([0.05, 0.06, 0.055], REPRODUCED),
        ([-0.05, -0.06, -0.055], NOT_REPRODUCED),
        ([0.05, -0.05, 0.0], UNDECIDED),
    ],
)
def test_above_the_base(shifts, verdict):
    rule = ScoresCompare("SD15", (("dde", "base"),), ("clip",))
    outcome = rule.judge(evidence({"dde": shifts}))
    assert outcome.verdict == verdict
    assert outcome.comparisons[0].estimate == pytest.approx(np.mean(shifts), abs=0.005)
    below = ScoresCompare("SD15", (("dde", "base"),), ("clip",), "below").judge(evidence({"dde": shifts}))
    mirrored = {REPRODUCED: NOT_REPRODUCED, NOT_REPRODUCED: REPRODUCED, UNDECIDED: UNDECIDED}
    assert below.verdict == mirrored[verdict]


def test_one_comparison_that_fails_refutes_a_claim_of_several():
    found = evidence(
        {
            "dde": [0.05, 0.055, 0.05],
            "sft": [0.01, 0.012, 0.01],
            "uniform": [0.1, 0.11, 0.1],
            "discounted": [0.0] * 3,
        }
    )
    outcome = next(each for each in judge(found) if each.claim.key == "dde-surpasses-sd15").outcome
    assert len(outcome.comparisons) == 9
    assert sorted(set(answers(outcome))) == ["fails", "holds"]
    assert outcome.verdict == NOT_REPRODUCED
    assert answers(outcome).count("fails") == 3


def test_two_of_three_are_enough_where_the_claim_says_so():
    def verdict(shifts):
        comparisons = [ClaimComparison("a", "b", shift, Interval(shift - 1, shift + 1)) for shift in shifts]
        return Outcome(tuple(comparisons), needed=2).verdict

    assert verdict([2, 2, -2]) == REPRODUCED
    assert verdict([2, -2, -2]) == NOT_REPRODUCED
    assert verdict([2, 0, -2]) == UNDECIDED


def test_at_or_above_allows_a_tenth_of_the_bases_standard_deviation():
    rule = ScoresCompare("SD15", (("dde-single", "dde"),), ("clip",), "at or above")
    cases = {0.0: REPRODUCED, -0.03: NOT_REPRODUCED, -0.0105: UNDECIDED}
    for shift, verdict in cases.items():
        found = evidence({"dde": [0.0] * 3, "dde-single": [shift] * 3})
        outcome = rule.judge(found)
        base = found.models["tiny"].base.metric("clip").prompt_means()
        assert outcome.comparisons[0].bound == pytest.approx(-0.1 * statistics.pstdev(base))
        assert outcome.verdict == verdict, shift


def test_intervals_are_those_of_compare_and_of_the_tables():
    found = evidence({"dde": [0.0, 0.01]}, metrics=("clip",))
    sets = found.models["tiny"].scores
    cell = score_table(2, {"tiny": sets["base"], "DDE": sets["dde"]}).rows[1].cells["clip"]
    comparison = ScoresCompare("SD15", (("dde", "base"),), ("clip",)).judge(found).comparisons[0]
    assert comparison.interval == pytest.approx(cell.difference_interval)
    assert comparison.gain_percent == pytest.approx(cell.gain_percent)
    assert comparison.paper == "+6.7 %"
    lone = evidence({"dde": [0.01]}, metrics=("clip",))
    ours = ScoresCompare("SD15", (("dde", "base"),), ("clip",)).judge(lone).comparisons[0]
    sets = lone.models["tiny"].scores
    assert ours.interval == pytest.approx(compare(sets["dde"][0], sets["base"][0])[0].difference_interval)


def test_a_model_is_held_against_the_table_of_the_model_it_stands_for():
    found = evidence({"dde": [0.01]}, metrics=("clip",))
    found.models["tiny"].paper = "SDXL"
    comparison = ScoresCompare("SDXL", (("dde", "base"),), ("clip",)).judge(found).comparisons[0]
    assert comparison.paper == figure(3, "dde", "clip") != figure(2, "dde", "clip")


def test_several_comparisons_share_the_error():
    found = evidence({"dde": [0.0, 0.01]})
    one = ScoresCompare("SD15", (("dde", "base"),), ("clip",)).judge(found).comparisons[0].interval
    three = ScoresCompare("SD15", (("dde", "base"),)).judge(found).comparisons[0].interval
    assert corrected_level(1) == pytest.approx(0.95)
    assert corrected_level(3) == pytest.approx(1 - 0.05 / 3)
    assert three[0] < one[0] < one[1] < three[1]
    # Between the two levels a comparison that holds alone is open among three.
    bound = (three[0] + one[0]) / 2
    assert ClaimComparison("", "", 0, one, bound=bound).answer == "holds"
    assert ClaimComparison("", "", 0, three, bound=bound).answer == "open"


def test_trainings_that_are_alike_leave_the_paired_t_test():
    found = evidence({"dde": [0.01]}, metrics=("clip",))
    sets = found.models["tiny"].scores
    sets["dde"] = [sets["dde"][0], sets["dde"][0]]
    interval = ScoresCompare("SD15", (("dde", "base"),), ("clip",)).judge(found).comparisons[0].interval
    differences = sets["dde"][0].metric("clip").prompt_means() - sets["base"][0].metric("clip").prompt_means()
    expected = ttest_1samp(differences, 0).confidence_interval(0.95)
    assert interval == pytest.approx((expected.low, expected.high))


def test_a_claim_on_scores_is_corrected_for_the_rows_of_its_table():
    shifts = {name: [0.0, 0.01] for name in ("dde", "uniform", "sft", "discounted", "dde-single", "dde-step")}
    found = evidence(shifts | {"0-0.1": [0.0, 0.02], "0.2-0.7": [0.0, 0.02]})

    def level(rule):
        return rule.judge(found).comparisons[0].level

    assert level(ScoresCompare("SD15", (("dde", "base"),), ("clip",))) == corrected_level(6)
    assert level(ScoresCompare("SD15", (("dde", "sft"), ("dde", "uniform"), ("dde", "discounted")))) == (
        corrected_level(9)
    )
    assert level(BeatRatios("SD15", "dde")) == corrected_level(6)
    part = ScoresCompare("SD15", (("0-0.1", "base"),), ("clip",))
    assert level(part) == corrected_level(3)  # two parts, and training on all timesteps


def test_trainings_that_lie_below_are_counted():
    comparison = ScoresCompare("SD15", (("dde", "base"),), ("clip",))
    (found,) = comparison.judge(evidence({"dde": [0.05, -0.05, -0.04, 0.03]})).comparisons
    assert (found.below, found.trainings) == (2, 4)
    assert found.spread == pytest.approx(np.std([0.05, -0.05, -0.04, 0.03], ddof=1), rel=0.1)


def test_intervals_cover_where_trainings_scatter():
    """Trainings that scatter by 0.05 around no effect, three a method: an interval over prompts is wrong too often."""
    rng = random.Random(3)
    covered = 0
    for _ in range(60):
        found = evidence({"dde": [rng.gauss(0, 0.05) for _ in range(3)]}, metrics=("clip",))
        interval = ScoresCompare("SD15", (("dde", "base"),), ("clip",)).judge(found).comparisons[0].interval
        covered += interval.low <= 0 <= interval.high
    assert covered >= 54


def test_one_training_has_an_interval_of_itself_alone():
    outcome = ScoresCompare("SD15", (("dde", "base"),), ("clip",)).judge(evidence({"dde": [0.05]}))
    assert outcome.verdict == REPRODUCED
    assert "one training only of DDE" in outcome.remarks[0]


def test_what_is_missing_is_named_and_not_judged():
    rule = ScoresCompare("SD15", (("dde", "sft"),))
    assert rule.judge(evidence({"dde": [0.1]})).missing == "no scores of SFT"
    assert (
        rule.judge(evidence({"dde": [0.1], "sft": [0.0]}, ("clip",))).missing
        == "no hps scores of tiny, DDE, SFT"
    )
    assert ScoresCompare("SDXL", (("dde", "base"),)).judge(evidence({})).missing == "no model stands for SDXL"
    segment = ScoresCompare("SD15", (("0.2-0.7", "uniform"),), ("clip",)).judge(evidence({"uniform": [0.1]}))
    assert segment.missing == "no scores of training on 0.2-0.7"
    assert segment.verdict == NOT_MEASURED


def test_with_nothing_but_a_base_no_claim_is_judged():
    judged = judge(evidence({}))
    assert {each.outcome.verdict for each in judged} == {NOT_MEASURED}
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS) == len(judged)


def test_beat_ratios_are_those_of_compare():
    found = evidence({"dde": [0.02], "uniform": [0.0]}, metrics=("clip",))
    sets = found.models["tiny"].scores
    outcome = BeatRatios("SD15", "dde", metrics=("clip",)).judge(found)
    expected = compare(sets["dde"][0], sets["base"][0])[0]
    assert outcome.comparisons[0].estimate == pytest.approx(expected.beat_ratio)
    level = outcome.comparisons[0].level
    assert level == corrected_level(2)
    shares = pairs_won(*(sets[row][0].metric("clip") for row in ("dde", "base")))[0] / IMAGES
    test = ttest_1samp(shares, 0.5).confidence_interval(level)
    assert tuple(outcome.comparisons[0].interval) == pytest.approx((test.low, test.high))
    assert outcome.verdict == REPRODUCED
    against = BeatRatios("SD15", "dde", ("uniform",), ("clip",)).judge(found).comparisons[0]
    rival = compare(sets["uniform"][0], sets["base"][0])[0]
    assert against.estimate == pytest.approx(expected.beat_ratio - rival.beat_ratio)
    assert against.answer == "holds"


@pytest.mark.parametrize(("shift", "verdict"), [(-0.05, NOT_REPRODUCED), (0.0, UNDECIDED)])
def test_beat_ratios_below_and_at_one_half(shift, verdict):
    outcome = BeatRatios("SD15", "dde", metrics=("clip",)).judge(evidence({"dde": [shift] * 2}))
    assert outcome.verdict == verdict


def run(
    weight: np.ndarray,
    steps: int = 4,
    corrections: np.ndarray | None = None,
    sigmoid: np.ndarray | float | None = None,
    spread: np.ndarray | float = 0.0,
    norm: np.ndarray | None = None,
    **settings,
) -> TrainedRun:
    """A training with a mean gradient weight a bin, ten visits a bin and step.

    sigmoid, spread: mean and standard deviation of the sigmoid factor, of bins or of steps and bins.
    norm: the mean norm of the gradient a bin, which was measured of every fifth visit.
    """
    count = np.full((steps, 50), 10.0)
    credit = Credit(
        "run",
        EDGES,
        np.broadcast_to(weight, (steps, 50)) * count,
        count,
        corrections,
        None if sigmoid is None else np.broadcast_to(sigmoid, (steps, 50)) * count,
        None if norm is None else np.broadcast_to(norm, (steps, 50)) * count / 5,
        None if norm is None else np.broadcast_to(weight, (steps, 50)) * count / 5,
        None if sigmoid is None else np.broadcast_to(sigmoid**2 + spread**2, (steps, 50)) * count,
    )
    return TrainedRun("run", {"beta": 2.0} | settings, credit, Metrics("run", {}), {})


def with_runs(coefficients: np.ndarray | None = None, **runs: list[TrainedRun]) -> Evidence:
    named = {name.replace("_", "-"): given for name, given in runs.items()}
    return evidence({}, runs=named, coefficients=coefficients)


def hill(height: float) -> np.ndarray:
    return np.where((MIDDLES > 0.2) & (MIDDLES < 0.7), height, 1.0)


def test_priority_of_the_middle():
    rule = CreditWeight("SD15", "dde", MIDDLE, (CLEAN, NOISE))
    outcome = rule.judge(with_runs(dde=[run(hill(h)) for h in (2.0, 2.2, 2.1)]))
    assert outcome.verdict == REPRODUCED
    assert outcome.comparisons[0].estimate == pytest.approx((2.0 * 2.2 * 2.1) ** (1 / 3))
    logs = np.log([2.0, 2.2, 2.1])
    half = t.ppf(1 - 0.025 / 2, 2) * logs.std(ddof=1) / math.sqrt(3)
    assert outcome.comparisons[0].interval == pytest.approx(np.exp([logs.mean() - half, logs.mean() + half]))
    rising = rule.judge(with_runs(dde=[run(10**MIDDLES, sigmoid=0.1), run(11**MIDDLES, sigmoid=0.1)]))
    assert answers(rising) == ["holds", "fails"]
    assert rising.verdict == NOT_REPRODUCED
    assert "errors of the noise" in rising.comparisons[0].quantity
    assert rule.judge(with_runs(dde=[run(hill(2.0))])).verdict == UNDECIDED
    assert rule.judge(with_runs()).missing == "no run folders of DDE"


def test_priority_beside_uniform_training():
    rule = CreditWeight("SD15", "dde", MIDDLE, (CLEAN,), rival="uniform")
    flat, hilly = [run(hill(1.0)), run(hill(1.01))], [run(hill(2.0)), run(hill(2.1))]
    assert rule.judge(with_runs(dde=hilly, uniform=flat)).verdict == REPRODUCED
    saturated = [run(hill(1.0), sigmoid=0.1), run(hill(1.01), sigmoid=0.1)]
    assert rule.judge(with_runs(dde=saturated, uniform=hilly)).verdict == NOT_REPRODUCED
    assert rule.judge(with_runs(dde=flat, uniform=hilly)).verdict == UNDECIDED
    assert rule.judge(with_runs(dde=hilly)).missing == "no run folders of Uni"


def falling(lowest: float, start: float = 0.5) -> np.ndarray:
    """A sigmoid factor of one half that falls, near noise and in the last of four steps, to `lowest`."""
    factor = np.full((4, 50), start)
    factor[-1, MIDDLES > 0.7] = lowest
    return factor


@pytest.mark.parametrize(
    ("sigmoid", "spread", "verdict", "said"),
    [
        (
            falling(0.1),
            0.0,
            NOT_REPRODUCED,
            "1.00 at 0-0.2, 1.00 at 0.2-0.7 and 0.36 at 0.7-1: logits saturate.",
        ),
        (
            falling(0.2),
            0.0,
            UNDECIDED,
            "0.64 at 0.7-1: logits do not saturate, and nothing here could refute the claim.",
        ),
        (
            falling(0.1)[::-1],
            0.0,
            UNDECIDED,
            "1.00 at 0.7-1: logits do not saturate",
        ),  # in the first step alone
        # Half of the pairs learned, half the other way round: the mean is that of the start.
        (falling(0.5), falling(0.4, 0.0), NOT_REPRODUCED, "0.36 at 0.7-1: logits saturate."),
        (None, 0.0, UNDECIDED, "DDE did not record the sigmoid factor: whether logits saturate is not known"),
    ],
)
def test_credit_is_refuted_only_where_logits_saturate(sigmoid, spread, verdict, said):
    rule = CreditWeight("SD15", "dde", MIDDLE, (CLEAN, NOISE))
    low = [run(hill(height), sigmoid=sigmoid, spread=spread) for height in (0.5, 0.51)]
    outcome = rule.judge(with_runs(dde=low))
    assert outcome.verdict == verdict
    assert said in outcome.remarks[0]
    high = rule.judge(
        with_runs(dde=[run(hill(height), sigmoid=sigmoid, spread=spread) for height in (2.0, 2.1)])
    )
    assert high.verdict == REPRODUCED  # on the claimed side nothing changes


def test_credit_is_told_by_the_norm_of_the_gradient_where_it_was_measured():
    """The weight falls, as in other units of the error; the norm decides."""
    rule = CreditWeight("SD15", "dde", MIDDLE, (CLEAN, NOISE))
    measured = [run(hill(0.5), sigmoid=0.1, norm=hill(height)) for height in (2.0, 2.02)]
    outcome = rule.judge(with_runs(dde=measured))
    assert outcome.verdict == REPRODUCED
    assert outcome.comparisons[0].estimate == pytest.approx(4.04**0.5)
    assert outcome.comparisons[0].quantity == "gradient norm at 0.2-0.7 over that at 0-0.2"
    assert outcome.remarks[0] == "By |∂L/∂D| of errors of the noise DDE has 0.5 and 0.5."
    partly = rule.judge(with_runs(dde=[measured[0], run(hill(0.5), sigmoid=0.1)]))
    assert "errors of the noise" in partly.comparisons[0].quantity
    assert partly.comparisons[0].estimate == pytest.approx(0.5)
    rival = CreditWeight("SD15", "dde", MIDDLE, (CLEAN,), rival="uniform")
    flat = [run(hill(1.0), norm=hill(1.0)), run(hill(1.0), norm=hill(1.01))]
    assert rival.judge(with_runs(dde=measured, uniform=flat)).comparisons[0].estimate == pytest.approx(2.0)


def test_the_recorded_factor_needs_no_coefficients():
    rule = Saturation("SD15", "dde-single", NOISE, MIDDLE)
    factor = np.where(MIDDLES > 0.7, 0.2, 0.4)
    outcome = rule.judge(with_runs(dde_single=[run(10**MIDDLES, sigmoid=f * factor) for f in (1.0, 1.1)]))
    assert outcome.comparisons[0].estimate == pytest.approx(-0.2 * 1.05)
    assert outcome.verdict == REPRODUCED


def test_priority_beside_uniform_training_is_paired_by_seed():
    """Seeds that move both methods alike fall out of the difference; without seeds they do not."""
    rule = CreditWeight("SD15", "dde", MIDDLE, (CLEAN,), rival="uniform")

    def outcome(**seeds):
        effects = (1.0, 2.0, 4.0)
        ours = [run(hill(1.2 * e), **{k: n for k in seeds}) for n, e in enumerate(effects)]
        theirs = [run(hill(1.01 * e), **{k: n for k in seeds}) for n, e in enumerate(effects)]
        return rule.judge(with_runs(dde=ours, uniform=theirs))

    paired, apart = outcome(seed=True), outcome()
    assert paired.comparisons[0].estimate == pytest.approx(apart.comparisons[0].estimate)
    assert (paired.verdict, apart.verdict) == (REPRODUCED, UNDECIDED)
    assert (paired.comparisons[0].trainings, apart.comparisons[0].trainings) == (3, 0)


def test_saturation_takes_the_coefficient_out():
    c_t = np.linspace(0.1, 50.0, 1000)
    per_bin = c_t.reshape(50, 20).mean(axis=1)

    def factor(near_noise):
        return np.where(MIDDLES > 0.7, near_noise, 0.5) * 2.0 * per_bin / 2

    rule = Saturation("SD15", "dde-single", NOISE, MIDDLE)
    outcome = rule.judge(with_runs(c_t, dde_single=[run(factor(f)) for f in (0.30, 0.32)]))
    assert outcome.comparisons[0].estimate == pytest.approx(0.31 - 0.5)
    assert outcome.verdict == REPRODUCED
    for sigmoid, verdict in ((0.1, NOT_REPRODUCED), (0.4, UNDECIDED), (None, UNDECIDED)):
        recorded = None if sigmoid is None else np.where(MIDDLES > 0.7, 2.0 * sigmoid, sigmoid)
        runs = [run(f * factor(0.7), sigmoid=None if recorded is None else f * recorded) for f in (1.0, 1.01)]
        assert rule.judge(with_runs(c_t, dde_single=runs)).verdict == verdict
    assert "noise schedule" in rule.judge(with_runs(dde_single=[run(factor(0.3))])).missing


def in_regime(height: float, beta: float, sigmoid: float, steps: int = 8, late: float = 1.0) -> TrainedRun:
    """A training whose middle has `height` at first, and `late` times as much in the last quarter of its steps."""
    weight = np.tile(hill(height), (steps, 1))
    weight[-steps // 4 :] = hill(height * late)
    return run(weight, steps, sigmoid=sigmoid, beta=beta)


def test_claims_on_credit_are_judged_by_trainings_until_logits_saturate():
    """The longest, at the beta whose logits saturate most, by their last steps; reported ones say the opposite."""
    rule = CreditWeight("SD15", "dde", MIDDLE, (CLEAN, NOISE))
    found = with_runs(dde=[run(hill(0.5), sigmoid=0.1), run(hill(0.51), sigmoid=0.1)])
    assert rule.judge(found).verdict == NOT_REPRODUCED
    model = found.of("SD15")
    model.regime["dde"] = [
        *(in_regime(0.3, 20.0, 0.4) for _ in range(2)),
        *(in_regime(0.5, 320.0, 0.1, late=4.0 * effect) for effect in (1.0, 1.01)),
        *(in_regime(0.3, 5120.0, 0.01, steps=4) for _ in range(2)),  # saturates more, and is shorter
    ]
    outcome = rule.judge(found)
    assert outcome.verdict == REPRODUCED
    assert outcome.comparisons[0].estimate == pytest.approx(2.0 * 1.01**0.5)
    assert outcome.remarks[0] == (
        "Judged by the trainings until logits saturate: 2 of DDE, 8 steps, β 320, the last 25% of the steps."
    )
    assert "logits saturate." in outcome.remarks[1]
    assert rule.judge(with_runs()).missing == "no run folders of DDE"
    assert "no run folders" not in CreditWeight("SD15", "dde", MIDDLE, (CLEAN,)).judge(found).missing
    model.runs.clear()
    assert rule.judge(found).verdict == REPRODUCED  # needs no reported ones
    rival = CreditWeight("SD15", "dde", MIDDLE, (CLEAN,), rival="uniform")
    assert rival.judge(found).missing == "no run folders of DDE"  # none of uniform training is in the regime
    model.regime["uniform"] = [in_regime(1.0, 20.0, 0.4) for _ in range(2)]
    beside = rival.judge(found)  # at the beta that both have
    assert beside.comparisons[0].estimate == pytest.approx(0.3)
    assert "2 of DDE and 2 of Uni, 8 steps, β 20" in beside.remarks[0]


def test_saturation_is_judged_in_the_last_steps_of_the_regime():
    factor = np.full((8, 50), 0.5)
    factor[-2:, MIDDLES > 0.7] = 0.1
    rule, found = Saturation("SD15", "dde-single", NOISE, MIDDLE), with_runs(np.ones(1000))
    found.of("SD15").regime["dde-single"] = [run(hill(1.0), 8, sigmoid=factor) for _ in range(2)]
    outcome = rule.judge(found)
    assert outcome.comparisons[0].estimate == pytest.approx(-0.4)
    assert "The factor is 0.100 at 0.7-1 and 0.500 at 0.2-0.7." in outcome.remarks


def profile(steps: int, settled_at: int, scale: float = 1.0) -> np.ndarray:
    """Corrections `(steps, 50)` that grow evenly until `settled_at`, falling with t."""
    growth = np.minimum(np.arange(1, steps + 1) / settled_at, 1.0)
    return -scale * growth[:, None] * (1 - EDGES[:-1])[None]


@pytest.mark.parametrize(
    ("steps", "settled_at", "verdict"),
    [
        (200, 90, REPRODUCED),
        (200, 200, NOT_REPRODUCED),
        (80, 50, REPRODUCED),
        (80, 80, UNDECIDED),  # it may yet settle by the 100th
    ],
)
def test_corrections_settle(steps, settled_at, verdict):
    runs = [run(np.ones(50), steps, profile(steps, settled_at, scale)) for scale in (1.0, 2.0)]
    outcome = CorrectionsSettle("SD15", "dde").judge(with_runs(dde=runs))
    assert outcome.verdict == verdict
    start = min(100, steps * 3 // 4)
    expected = 1 - min(start / settled_at, 1) if settled_at > start else 0
    assert outcome.comparisons[0].estimate == pytest.approx(expected)
    assert ("80 iterations only" in " ".join(outcome.remarks)) == (steps == 80)


def test_corrections_fall_in_size():
    falling = [run(np.ones(50), 4, profile(4, 2) + noise) for noise in (0.0, 1e-4)]
    assert CorrectionsFall("SD15", "dde").judge(with_runs(dde=falling)).verdict == REPRODUCED
    rising = [run(np.ones(50), 4, profile(4, 2)[:, ::-1]) for _ in range(2)]
    outcome = CorrectionsFall("SD15", "dde").judge(with_runs(dde=rising))
    assert outcome.verdict == NOT_REPRODUCED
    assert outcome.comparisons[0].estimate == spearmanr(range(50), range(50)).statistic


@pytest.mark.parametrize("rule", [CorrectionsSettle, CorrectionsFall, CorrectionsWeaken])
def test_runs_without_a_delayed_table_say_nothing_of_corrections(rule):
    outcome = rule("SD15", "dde").judge(with_runs(dde=[run(np.ones(50))]))
    assert outcome.missing.startswith("no correction")


def test_corrections_weaken_and_how_much():
    rule = CorrectionsWeaken("SD15", "dde")
    strong = [run(np.ones(50), 4, profile(4, 2, scale)) for scale in (1.0, 1.1)]
    outcome = rule.judge(with_runs(dde=strong))
    assert outcome.verdict == REPRODUCED
    last = 2.0 * profile(4, 2)[-1]
    expected = np.mean(1 - 2 / (1 + np.exp(-last[MIDDLES < 0.2])))
    both = [-100 * np.mean(1 - 2 / (1 + np.exp(-scale * last[MIDDLES < 0.2]))) for scale in (1.0, 1.1)]
    reach = ttest_1samp(both, 0).confidence_interval(0.95)
    said = f"by {np.mean(both):+.2g} % (95 % interval over trainings: {reach.low:+.2g} to {reach.high:+.2g})."
    assert outcome.remarks[0].endswith(said)
    lone = rule.judge(with_runs(dde=strong[:1])).remarks[0]
    assert lone.endswith(f"undecided pair by {both[0]:+.2g} %.")
    single = rule.judge(with_runs(dde=[strong[0], strong[0]])).comparisons[0]
    middle = np.mean(1 - 2 / (1 + np.exp(-last[(MIDDLES > 0.2) & (MIDDLES < 0.7)])))
    assert single.estimate == pytest.approx(expected - middle)
    other_way = [run(np.ones(50), 4, -profile(4, 2, scale)) for scale in (1.0, 1.1)]
    assert rule.judge(with_runs(dde=other_way)).verdict == NOT_REPRODUCED


def test_a_number_that_cannot_be_formed_is_not_measured():
    empty = run(np.ones(50), 4, np.zeros((4, 50)))
    judged = {each.claim.key: each.outcome for each in judge(with_runs(dde=[empty, empty]))}
    assert judged["corrections-settle"].verdict == NOT_MEASURED
    assert "cannot be formed" in judged["corrections-settle"].missing


def test_coefficients_rise_exactly():
    rule = CoefficientsRise("SD15")
    assert rule.judge(with_runs(np.array([0.1, 0.2, 0.4]))).verdict == REPRODUCED
    assert rule.judge(with_runs(np.array([0.1, 0.2, 0.15]))).verdict == NOT_REPRODUCED
    assert rule.judge(with_runs()).verdict == NOT_MEASURED


def inception(mean, std=0.2, splits=10):
    scorer = {"classifier": {"model": "c"}, "conventions": {}, "splits": splits, "images": 100}
    return InceptionResult("x", mean, std, {}, {METRIC: scorer})


def test_inception_scores():
    def outcome(before, after):
        given = {"base": [inception(before)], "dde": [inception(mean) for mean in after]}
        return InceptionRises("SD15", "dde").judge(evidence({}, inception=given))

    found = outcome(4.0, [5.0])
    assert found.verdict == REPRODUCED
    expected = t_interval(1.0, 0.2 / math.sqrt(10), 18)  # two scores of ten parts each
    assert found.comparisons[0].interval == pytest.approx(expected)
    assert found.comparisons[0].gain_percent == pytest.approx(25.0)
    assert outcome(4.0, [3.0, 3.1]).verdict == NOT_REPRODUCED
    assert outcome(4.0, [4.05]).verdict == UNDECIDED
    scattered = outcome(4.0, [4.5, 6.0])
    assert scattered.verdict == UNDECIDED
    assert InceptionRises("SD15", "dde").judge(evidence({})).missing == "no Inception Score of tiny"
    whole = {"base": [inception(4.0, splits=1)], "dde": [inception(5.0)]}
    lone = InceptionRises("SD15", "dde").judge(evidence({}, inception=whole))
    assert lone.comparisons[0].interval is None and lone.verdict == UNDECIDED


def t_interval(difference, error, freedom):
    """Student's interval of a difference of two means of equal standard error and freedom."""
    half = t.ppf(0.975, freedom) * error * math.sqrt(2)
    return difference - half, difference + half
