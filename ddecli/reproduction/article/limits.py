"""What the results cannot say, from their sizes; how claims were judged."""

from __future__ import annotations

from collections.abc import Iterator

from ddecli.core.world import is_builtin, world_of
from ddecli.document.blocks import Block, Words, bullets, paragraph
from ddecli.reproduction.article.findings import Findings
from ddecli.reproduction.article.unsampled import unsampled
from ddecli.reproduction.article.words import count, percent
from ddecli.reproduction.claims.scores import MARGIN
from ddecli.reproduction.claims.verdicts import UNDECIDED
from ddecli.reproduction.evidence import ModelEvidence
from ddecli.stats.intervals import CONFIDENCE, corrected_level
from ddecli.tables import paper
from ddecli.tables.notes import and_list

TINY_WORLD: tuple[Words, ...] = (
    "The tiny world is drawn, not photographed: one or two flat shapes on a plain background, with captions "
    "from a small grammar. Its flaws were made at three scales by design. Where flaws live decides which "
    "timesteps matter, so results by timestep may depend on that design as much as on the method.",
    "Its voters choose by a known rule with noise; people do not.",
    "Its scorers play the part of CLIP, HPS and PickScore and share one architecture and the same kind of "
    "data; the real ones are far larger and differ more from each other.",
    "The hidden utility (“truth”) of a generated image is an estimate by a network trained on drawn scenes. "
    "No method trains on it, but it can be wrong, most of all on images unlike any scene.",
    "So small a model has little to forget and little to generalise to: that something holds here does not "
    "say that it holds for Stable Diffusion, and that it fails here does not say that it fails there.",
)


def rules(findings: Findings) -> Iterator[Block]:
    """How intervals were formed, and how claims were judged by them."""
    scores = (
        "Scores and beat ratios: intervals of the mean difference, the same prompts and the same noise on both "
        "sides. Its variance has two parts, between prompts and between trainings, each with the degrees of freedom "
        "that it was estimated with; the half width is the root of their sum times the mean of Student's quantiles, "
        "weighted by the parts (Cochran and Cox 1950). In simulation, with three to six trainings and hundreds of "
        "prompts, intervals of 95 % cover in 93 to 97 %. Of a row with one training the interval is over prompts and "
        "speaks of that training."
    )
    pairs = (
        "Trainings of two methods with the same seeds saw the same draws: the difference of each pair is what is "
        "averaged. Where seeds differ, or are not known, the methods are taken for independent, and not to scatter "
        "alike."
    )
    measured = len(findings.measured)
    if not measured:
        yield bullets([scores, pairs])
        return
    yield paragraph(
        "Every claim rests on comparisons: a number that the paper says lies on one side of a bound. A "
        "comparison holds if its interval lies wholly on the claimed side, fails if it lies wholly on the "
        "other side, and is open otherwise. A claim is reproduced if all its comparisons hold (or as many as "
        "the claim names), not reproduced if too many fail for that, and undecided at this size in any other "
        "case. A claim that lacks something is listed with what it lacks and is not judged."
    )
    yield bullets(
        [
            f"{scores} They are the intervals of the tables, but for their level.",
            f"What is bold in a table is corrected for its rows: of m rows each is held to an interval of level "
            f"1 − {1 - CONFIDENCE:.2g}/m (Bonferroni). A claim on scores takes for m the number of its comparisons, or "
            f"that of the rows of its table where that is larger: {percent(corrected_level(6))} for six, "
            f"{percent(corrected_level(9))} for nine. No correction "
            "is made across claims, which share data and are not independent of each other: of the "
            f"{measured} claims measured, {(1 - CONFIDENCE) * measured:.1f} on average may be decided "
            "wrongly by chance alone, at most.",
            pairs,
            f"“At or above” and “comparable” mean no more than a margin below: {MARGIN:g} standard "
            "deviations of the base model's scores over prompts, fixed before any result.",
            "Numbers that a training has once (ratios of gradient weights, correction terms) have Student's "
            "interval over trainings, ratios on their logarithms; with one training they have none and stay "
            "open. Inception Scores have theirs from the parts that the images are cut into and from the spread "
            "between trainings, joined as above.",
        ]
    )


def limits(findings: Findings) -> Iterator[Block]:
    """Sizes, beside the paper's where a model stands for one of its own, what stayed open, cautions, the tiny world."""
    points: list[Words] = []
    for model in findings.evidence.models.values():
        points += [*_sizes(model), *unsampled(model)]
    opened = [each for each in findings.judged if each.outcome.verdict == UNDECIDED]
    if opened:
        numbers = and_list([str(findings.judged.index(each) + 1) for each in opened])
        points.append(
            f"{count(len(opened), 'claim is', 'claims are')} undecided ({numbers}): the intervals are too "
            "wide for the difference there is, if there is one. That is no evidence against the paper, nor "
            "for it."
        )
    points.append(
        "Prompts, images and base model are the same in all comparisons of a model: if these prompts are unusual, "
        "all comparisons err together."
    )
    yield bullets(points)
    for caution in findings.cautions:
        yield paragraph(caution, "caution")
    if any(is_tiny(model) for model in findings.evidence.models.values()):
        yield bullets(TINY_WORLD)


def _sizes(model: ModelEvidence) -> Iterator[Words]:
    scores = model.base.metric(next(iter(model.base.metrics)))
    prompts = len(set(scores.prompt_id.tolist()))
    rows = [*model.methods, *model.segments]
    trainings = sorted({len(model.scores[row]) for row in rows})
    span = (
        f"{trainings[0]}"
        if len(trainings) == 1
        else f"{trainings[0]} to {trainings[-1]}"
        if trainings
        else "0"
    )
    said = (
        f"{model.name}: scores are means over {count(prompts, 'prompt')} with {len(scores.score) / prompts:g} images "
        f"each and over {span} {'training' if span == '1' else 'trainings'} a method"
    )
    if model.paper is None:
        yield f"{said}."
        return
    evaluation = paper.evaluation()
    yield (
        f"{said}; the paper has over {evaluation['prompts']} prompts with {evaluation['images_per_prompt']} images, "
        "and states no number of trainings."
    )
    budgets = {
        int(run.settings["steps"]) * int(run.settings["batch_size"])
        for given in model.runs.values()
        for run in given
    }
    if budgets:
        theirs = paper.training_pairs(model.paper)
        seen = and_list([f"{budget:,}" for budget in sorted(budgets)])
        share = and_list([f"1/{theirs / budget:,.0f}" for budget in sorted(budgets)])
        yield f"{model.name}: a training saw {seen} pairs; the paper's saw {theirs:,}. That is {share} of it."


def is_tiny(model: ModelEvidence) -> bool:
    """Whether the images are of the built-in world."""
    return is_builtin(world_of(model.base.protocol))
