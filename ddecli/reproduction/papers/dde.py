"""The claims of the paper that measurement can decide, each with its rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ddecli.core.segments import CLEAN, MIDDLE, NOISE
from ddecli.reproduction.claims.corrections import CorrectionsFall, CorrectionsSettle, CorrectionsWeaken
from ddecli.reproduction.claims.credit import CoefficientsRise, CreditWeight
from ddecli.reproduction.claims.inception_rises import InceptionRises
from ddecli.reproduction.claims.rule import Rule
from ddecli.reproduction.claims.saturation import Saturation
from ddecli.reproduction.claims.scores import BeatRatios, ScoresCompare
from ddecli.reproduction.claims.verdicts import Outcome
from ddecli.reproduction.evidence import Evidence

CLIP = ("clip",)  # section 3.4 reports CLIP alone


@dataclass(frozen=True)
class Claim:
    """A statement of the paper.

    Attributes:
        key: names the claim in claims.json and in links.
        title: what it says, in a line.
        section: where the paper says it.
        quote: its words.
        rule: decides it.
        note: how we read it, where the words leave a choice.
    """

    key: str
    title: str
    section: str
    quote: str
    rule: Rule
    note: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim and what its rule found."""

    claim: Claim
    outcome: Outcome

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        claim, outcome = self.claim, self.outcome
        return {
            "id": claim.key,
            "title": claim.title,
            "section": claim.section,
            "quote": claim.quote,
            "rule": claim.rule.text,
            "note": claim.note,
            "verdict": outcome.verdict,
            "missing": outcome.missing,
            "needed": outcome.needed,
            "comparisons": [comparison.as_dict() for comparison in outcome.comparisons],
            "remarks": list(outcome.remarks),
        }


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "dde-improves-sd15",
        "DDE improves SD15 on every metric",
        "4.2, Table 2",
        "our DDE improves SD15 by 6.7%, 3.9%, and 3.3% in terms of CLIP, HPS and PS, respectively",
        ScoresCompare("SD15", (("dde", "base"),)),
        "Only the direction is tested: another model and other scorers give other sizes.",
    ),
    Claim(
        "dde-surpasses-sd15",
        "DDE surpasses SFT, Uni and Disc on SD15",
        "4.2, Table 2",
        "not only enhances the performance of the base models but also surpasses all other baselines",
        ScoresCompare("SD15", (("dde", "sft"), ("dde", "uniform"), ("dde", "discounted"))),
    ),
    Claim(
        "dde-improves-sdxl",
        "DDE improves SDXL on every metric",
        "4.2, Table 3",
        "it improves SDXL by 1.4%, 1.0%, and 3.1% across the same metrics",
        ScoresCompare("SDXL", (("dde", "base"),)),
        "Only the direction is tested.",
    ),
    Claim(
        "dde-surpasses-sdxl",
        "DDE surpasses Uni and Disc on SDXL",
        "4.2, Table 3",
        "not only enhances the performance of the base models but also surpasses all other baselines",
        ScoresCompare("SDXL", (("dde", "uniform"), ("dde", "discounted"))),
    ),
    Claim(
        "beat-ratio-base",
        "DDE beats SD15 in more than half of the image pairs",
        "4.2, Fig. 5",
        "our DDE outperforms SD15 with beat ratios of",
        BeatRatios("SD15", "dde"),
        "The ratios themselves are lost from the text at hand.",
    ),
    Claim(
        "beat-ratio-baselines",
        "DDE's beat ratios surpass those of the other methods",
        "4.2, Fig. 5",
        "surpassing other baseline methods",
        BeatRatios("SD15", "dde", ("sft", "uniform", "discounted")),
    ),
    Claim(
        "single-at-or-above-dde",
        "DDE-Single is at or above DDE on every metric",
        "4.5, Table 2",
        "When applying only the single-shot estimation, all metrics exhibit performance at or above the level of DDE",
        ScoresCompare("SD15", (("dde-single", "dde"),), relation="at or above"),
    ),
    Claim(
        "both-estimates-gain",
        "Both estimates together gain on 2 of 3 metrics",
        "4.5, Table 2",
        "when both strategies are combined, performance enhancements are observed in 2 out of 3 metrics",
        ScoresCompare("SD15", (("dde", "dde-single"),), needed=2),
        "Read as DDE above DDE-Single. So read, the sentence contradicts the one before it, by which "
        "DDE-Single is at or above DDE in all metrics: read strictly, the paper's two sentences cannot both "
        "be true.",
    ),
    Claim(
        "step-below-dde",
        "DDE-Step falls below DDE on every metric",
        "4.5, Table 2",
        "when only the stepwise estimation is used, all metrics show a decrease in performance",
        ScoresCompare("SD15", (("dde-step", "dde"),), relation="below"),
        "The text does not fix the weight of DDE-Step's sampled step; ours is t λ_t.",
    ),
    Claim(
        "step-below-base",
        "DDE-Step falls below the base model on every metric",
        "4.5, Table 2",
        "even falling below the baseline model",
        ScoresCompare("SD15", (("dde-step", "base"),), relation="below"),
        "The text does not fix the weight of DDE-Step's sampled step; ours is t λ_t.",
    ),
    Claim(
        "uniform-improves-clip",
        "Uniform training on all timesteps improves CLIP",
        "3.4, Fig. 3",
        "Training SD15 with Uniform loss for 2000 iterations yields an improvement in score to 0.331",
        ScoresCompare("SD15", (("uniform", "base"),), CLIP),
    ),
    Claim(
        "middle-above-full",
        "Training 0.2-0.7 improves CLIP further than training on all timesteps",
        "3.4, Fig. 3",
        "optimize only the intermediate subset (…) within total 1000 denoising steps. This approach yields a "
        "further improvement",
        ScoresCompare("SD15", (("0.2-0.7", "uniform"),), CLIP),
    ),
    Claim(
        "middle-comparable",
        "Training 0.2-0.7 is comparable to training on all timesteps",
        "3.4, conclusions",
        "Optimizing just the middle portion yields comparable performance",
        ScoresCompare("SD15", (("0.2-0.7", "uniform"),), CLIP, "at or above"),
        "The weaker form of the claim before.",
    ),
    Claim(
        "segments-improve",
        "Training 0-0.1 alone, or 0.3-0.4 alone, improves CLIP",
        "3.4, Fig. 3",
        "optimizing just 10% of total steps can still improve performance",
        ScoresCompare("SD15", (("0-0.1", "base"), ("0.3-0.4", "base")), CLIP),
    ),
    Claim(
        "last-segment-harms",
        "Training 0.9-1.0 alone falls below the base model in CLIP",
        "3.4, Fig. 3",
        "optimizing certain segments harms the performance, particularly when focusing only on the final 10% steps",
        ScoresCompare("SD15", (("0.9-1.0", "base"),), CLIP, "below"),
    ),
    Claim(
        "clean-end-above-noise-end",
        "Training 0-0.1 gives a higher CLIP score than training 0.9-1.0",
        "3.4, conclusions",
        "optimizing the initial steps enhances performance, while optimizing the final diminishes it",
        ScoresCompare("SD15", (("0-0.1", "0.9-1.0"),), CLIP),
        "Which ends are meant is lost from the sentence before it; the comparison follows these words and Fig. 3.",
    ),
    Claim(
        "coefficients-rise",
        "Single-shot coefficients increase with t",
        "3.4",
        "These coefficients can be directly computed and increase with the rise in",
        CoefficientsRise("SD15"),
        "True of every schedule whose signal falls with t; nothing is learned here but that the model's "
        "schedule is one.",
    ),
    Claim(
        "noise-end-saturates",
        "Single-shot estimation weakens the optimization of steps near noise",
        "3.4",
        "the single-shot estimation weakens the optimization for steps near",
        Saturation("SD15", "dde-single", NOISE, MIDDLE),
        "The mechanism alone: whether the sigmoid saturates, not whether that outweighs the larger coefficient.",
    ),
    Claim(
        "corrections-settle",
        "Correction terms settle within 100 iterations",
        "4.4",
        "the correction terms quickly converge as training iteration reaches 100",
        CorrectionsSettle("SD15", "dde"),
    ),
    Claim(
        "corrections-fall",
        "Correction terms shrink as t increases",
        "4.4",
        "clearly indicating a decrease in values as the number of steps increases",
        CorrectionsFall("SD15", "dde"),
        "In size, for their sign depends on convention. C(t) is a sum over the steps above t: terms of one "
        "sign make it shrink by construction.",
    ),
    Claim(
        "corrections-weaken",
        "Correction terms weaken the optimization of steps near the clean image",
        "4.4",
        "our correction terms weaken the optimization of steps around",
        CorrectionsWeaken("SD15", "dde"),
        "The direction alone is tested; the remark gives the size.",
    ),
    Claim(
        "middle-prioritized",
        "DDE prioritizes the middle of the trajectory",
        "3.4",
        "our method weakens the optimization at both ends of the denoising trajectory, effectively "
        "strengthening the optimization of the middle part",
        CreditWeight("SD15", "dde", MIDDLE, (CLEAN, NOISE)),
    ),
    Claim(
        "priority-distinguishes",
        "DDE prioritizes the middle more than uniform training does",
        "3.4",
        "The prioritization property distinguishes our method from existing approaches",
        CreditWeight("SD15", "dde", MIDDLE, (CLEAN, NOISE), rival="uniform"),
    ),
    Claim(
        "step-favours-noise-end",
        "Stepwise estimation alone gives steps near noise more weight than steps near the clean image",
        "4.5",
        "the stepwise estimation weakens optimization at the initial stage while strengthening it at the steps "
        "around",
        CreditWeight("SD15", "dde-step", NOISE, (CLEAN,)),
        "The text does not fix the weight of DDE-Step's sampled step; ours is t λ_t, which alone rises with t.",
    ),
    Claim(
        "inception-sd15",
        "The Inception Score of SD15 rises",
        "8.2, Table 4",
        "our alignment training enhances the Inception Score",
        InceptionRises("SD15", "dde"),
    ),
    Claim(
        "inception-sdxl",
        "The Inception Score of SDXL rises",
        "8.2, Table 4",
        "our alignment training enhances the Inception Score",
        InceptionRises("SDXL", "dde"),
    ),
)

NOT_TESTED = (
    "Figures 4, 6, 8 and 9 (details, structure, layout, hands, text): the paper judges selected images by "
    "eye; the report shows images that nobody selected and judges none.",
    "The derivations (sections 3.2, 3.3, 7): mathematics, which the tests of the software check, not measurement.",
    "That the correction terms cost no further inference and do no harm by their delay (section 3.2): stated "
    "without a figure.",
    "State of the art among methods without auxiliary models: only the methods of Tables 2 and 3 are compared.",
)


def judge(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> list[Judged]:
    """Apply every claim's rule."""
    return [Judged(claim, _finite(claim.rule.judge(evidence))) for claim in claims]


def _finite(outcome: Outcome) -> Outcome:
    """A number that cannot be formed (no visits in a part, no correction at all) is not measured."""
    for comparison in outcome.comparisons:
        if not math.isfinite(comparison.estimate):
            return Outcome(missing=f"{comparison.quantity} of {comparison.label} cannot be formed")
    return outcome
