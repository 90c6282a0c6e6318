"""Several models, sampled one after the other; what is equal of one and the next is loaded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ddecli.core.errors import UserError
from ddecli.models.base import DiffusionModel
from ddecli.sampling.generate import SampleSummary

NAME = "{name}"


def target_folders(models: Sequence[str], names: Sequence[str], out: Path) -> dict[str, Path]:
    """The folder of the images of each model.

    Args:
        names: short names of the models.
        out: the folder that theirs lie in, or with `{name}` in it, their own.

    Raises:
        UserError: two models have the same folder.
    """
    template = str(out) if NAME in str(out) else str(out / NAME)
    found: dict[Path, str] = {}
    targets: dict[str, Path] = {}
    for model, name in zip(models, names, strict=True):
        target = Path(template.replace(NAME, name))
        other = found.setdefault(target.resolve(), model)
        if other is not model or model in targets:
            raise UserError(
                f"{other} and {model} would both be sampled into {target}: sample one of them alone, with an --out of "
                "its own."
            )
        targets[model] = target
    return targets


def sample_models(
    targets: Mapping[str, Path],
    load: Callable[[str, DiffusionModel | None], DiffusionModel],
    sample: Callable[[str, DiffusionModel, Path], SampleSummary],
) -> dict[str, SampleSummary | UserError]:
    """Sample each model into its folder, with the files of a call of its own; of one that cannot be sampled, why.

    Args:
        load: a model by its name, with what the one before it has as well.
        sample: draw with it.
    """
    found: dict[str, SampleSummary | UserError] = {}
    before: DiffusionModel | None = None
    for name, out in targets.items():
        if before is not None:
            before.release_unet()  # two may not fit the memory
        try:
            model = load(name, before)
        except UserError as error:
            found[name] = error
            continue
        before = None  # what has failed shares nothing
        try:
            found[name] = sample(name, model, out)
            before = model
        except UserError as error:
            found[name] = error
    return found
