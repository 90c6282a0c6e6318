"""What weakens an experiment's results, found by looking: each a sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ddecli.reproduction.evidence import Evidence, ModelEvidence
from ddecli.reproduction.side_effects import SideEffects
from ddecli.tables.notes import and_list
from ddecli.tuning.choose import Choice
from ddecli.tuning.grid import grid_warnings

BUDGET = ("steps", "batch_size")
FEW_TRAININGS = 3


def cautions(
    evidence: Evidence, grids: Mapping[str, Choice], effects: Mapping[str, Sequence[SideEffects]]
) -> list[str]:
    """Every caution of every model, in the order of importance."""
    found: list[str] = []
    for name, model in evidence.models.items():
        for caution in (
            *_seen_prompts(model, grids.get(name)),
            *_seen_seeds(model, grids.get(name)),
            *_no_part(model),
            *_fooled(effects.get(name, [])),
            *_budgets(model),
            *_same_weights(model),
            *_same_seeds(model),
            *_few_trainings(model),
            *_grid(model, grids.get(name)),
            *_machines(model),
        ):
            found.append(f"{name}: {caution}")
    return found


def _seen_prompts(model: ModelEvidence, grid: Choice | None) -> Iterator[str]:
    protocol = model.base.protocol
    chosen_on = grid.protocol.get("prompts_sha256") if grid else None
    if chosen_on and chosen_on == protocol.get("prompts_sha256"):
        yield "the reported prompts are those that beta and learning rates were chosen on, so gains may be too rosy."
    elif "validation" in str(protocol.get("prompt_set", "")):
        yield f"the reported prompts are {protocol['prompt_set']}, which are meant for choosing settings."


def _seen_seeds(model: ModelEvidence, grid: Choice | None) -> Iterator[str]:
    chosen_by = {seed for trial in grid.trials for seed in trial.seeds} if grid else set()
    shown = {seed for row in [*model.methods, *model.segments] for seed in model.seeds_of(row) or ()}
    shown |= {int(run.settings["seed"]) for given in model.runs.values() for run in given}
    both = sorted(chosen_by & shown)
    if both:
        yield (
            f"trainings of seed {and_list([str(seed) for seed in both])} are reported that beta and learning rates "
            "were chosen by, so gains may be too rosy."
        )


def _fooled(effects: Sequence[SideEffects]) -> Iterator[str]:
    for kind in ("falls", "not shown to rise"):
        named = [each.label for each in effects if each.fooled == kind]
        if named:
            yield (
                f"scorers may have been fooled: they rise with {and_list(named)}, while the hidden utility "
                f"{'falls' if kind == 'falls' else 'is not shown to rise'}."
            )


def _no_part(model: ModelEvidence) -> Iterator[str]:
    for loss in dict.fromkeys(model.losses.values()):
        several = model.trained_with(loss)
        if model.paper and len(several) > 1:
            named = and_list([model.label(method) for method in several])
            yield f"{named} have the loss {loss}, so no claim of the paper on it is judged: call the one meant {loss}."


def _budgets(model: ModelEvidence) -> Iterator[str]:
    budgets = defaultdict(list)
    for method, runs in model.runs.items():
        for run in runs:
            budgets[tuple(run.settings.get(name) for name in BUDGET)].append(model.label(method))
    if len(budgets) > 1:
        listed = [
            f"{and_list(list(dict.fromkeys(methods)))} {steps} steps of {batch}"
            for (steps, batch), methods in budgets.items()
        ]
        yield f"the trainings had unequal budgets ({'; '.join(listed)}), so methods are not compared on equal terms."


def _same_weights(model: ModelEvidence) -> Iterator[str]:
    digests = defaultdict(list)
    for row, given in model.scores.items():
        for scores in given:
            source = scores.protocol.get("model")
            if isinstance(source, dict) and source.get("unet_sha256"):
                digests[source["unet_sha256"]].append(model.label(row))
    for rows in digests.values():
        if len(rows) > 1:
            yield f"{and_list(rows)} were sampled from the same weights: they are no independent results."


def _same_seeds(model: ModelEvidence) -> Iterator[str]:
    sharing = [
        model.label(method)
        for method, runs in model.runs.items()
        if len({run.settings.get("seed") for run in runs}) < len(runs)
    ]
    if sharing:
        yield (
            f"trainings of one method share a seed ({and_list(sharing)}), so they saw the same draws and their spread "
            "is too small."
        )


def _few_trainings(model: ModelEvidence) -> Iterator[str]:
    few = [
        model.label(row)
        for row in [*model.methods, *model.segments]
        if len(model.scores[row]) < FEW_TRAININGS
    ]
    if few:
        yield (
            f"fewer than {FEW_TRAININGS} trainings of {and_list(few)}: how these results change from training to "
            "training is hardly known, or not at all."
        )


def _grid(model: ModelEvidence, grid: Choice | None) -> Iterator[str]:
    if grid is None:
        if model.runs:
            yield "no record is given of how beta and learning rates were chosen."
        return
    runs = {model.label(method): [run.settings for run in given] for method, given in model.runs.items()}
    yield from grid_warnings(grid, runs)


def _machines(model: ModelEvidence) -> Iterator[str]:
    versions = {
        str(run.performance["versions"])
        for given in model.runs.values()
        for run in given
        if "versions" in run.performance
    }
    if len(versions) > 1:
        yield f"the trainings were made with {len(versions)} different sets of package versions."
