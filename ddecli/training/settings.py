"""Every setting of a training run, where its value comes from, and the checks on it."""

from __future__ import annotations

import functools
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml
from ddecli.core.parsing import check_shape
from ddecli.core.segments import parse_segment
from ddecli.models.presets import resolve, short_name
from ddecli.objectives.registry import known_loss
from ddecli.training.run_fields import TrainFields

OF_MODEL = ("model_revision", "model_sha256")
"""What a run notes of the model it started from."""

WORDS = (
    "model", "model_revision", "loss", "data", "out", "segment", "holdout", "reference_model", "report_to",
    "sample_prompts",
)  # fmt: skip
"""Settings that are looked at as texts before all are checked together."""

BETA_SHARE = 0.5
"""With `beta` "auto"; in the built-in world it comes to betas that its grids chose: see `auto_beta`."""
MEASURED = "default: measured before the first step"
FAMILY_RECIPES = {"sd": "sd15", "sdxl": "sdxl"}
BEFORE: dict[str, Any] = {"error": "noise", "dropped_prompt": "encoded", "size_condition": "own"}
"""What was done before there was a setting for it: the run.yaml of a run that began then does not name it."""


class TrainSettings(TrainFields, BaseModel):
    """The settings of `ddecli train`, resolved; written to run.yaml, from which the run can be repeated."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out)

    @property
    def is_game(self) -> bool:
        """Whether rejected pictures are drawn by a model, in iterations."""
        return self.pairs != "data"

    @property
    def micro_batch(self) -> int:
        """Pairs of a forward pass, once their number is known."""
        assert self.micro_batch_size != "auto"
        return self.micro_batch_size

    def with_any_beta(self) -> TrainSettings:
        """With some beta where it is still to be measured, for what does not depend on it."""
        return self.model_copy(update={"beta": 1.0}) if self.beta == "auto" else self


def resolve_settings(given: dict[str, Any], config: Path | None = None) -> TrainSettings:
    """Fill in what was not given: the recipe of model and loss < the config file < `given`.

    Args:
        given: options by name; None means not given.
        config: a YAML file of settings, such as a run's run.yaml.

    Raises:
        UserError: unknown model, loss, segment or setting, or a value out of range.
    """
    settings = {name: value for _, values in _layers(given, config) for name, value in values.items()}
    try:
        found = TrainSettings(**settings)
    except ValidationError as error:
        raise UserError(_one_sentence(error)) from error
    _check_pairs(found)
    _check_noise(found)
    _check_labels(found)
    _check_beta(found, given)
    _check_reference(found)
    if given.get("lora_format") is not None and found.lora is None:
        raise UserError(f"--lora-format {found.lora_format} goes with --lora.")
    return found


def _check_reference(settings: TrainSettings) -> None:
    asked = {"--reference-ema": settings.reference_ema, "reference_model": settings.reference_model}
    given = [name for name, value in asked.items() if value is not None]
    if given and not known_loss(settings.loss).has_reference:
        raise UserError(f"{given[0]}: the loss {settings.loss} looks at no reference; leave it out.")
    if settings.reference_model is not None and (settings.is_game or settings.reference_ema is not None):
        other = f"--pairs {settings.pairs}" if settings.is_game else "--reference-ema"
        raise UserError(f"reference_model: {other} has a reference of its own; leave one of both out.")


def _check_pairs(settings: TrainSettings) -> None:
    if settings.pairs == "data":
        if settings.iterations > 1:
            raise UserError(f"--iterations {settings.iterations} goes with --pairs self-play or semi-policy.")
    elif not known_loss(settings.loss).has_losers:
        raise UserError(
            f"The loss {settings.loss} looks at no rejected pictures: there is nothing to play against; leave "
            f"--pairs {settings.pairs} out, or choose another --loss."
        )
    elif settings.reference_ema is not None and settings.pairs == "semi-policy":
        raise UserError(
            "--reference-ema: in semi-policy the reference is one of the saved models; leave one of both out."
        )


def _check_noise(settings: TrainSettings) -> None:
    if settings.noise == "kept" and settings.is_game:
        raise UserError(
            f"--noise kept: nobody knows the noise of the winners of {settings.pairs}; leave it out."
        )


def _check_labels(settings: TrainSettings) -> None:
    if settings.labels == "hard":
        return
    if not known_loss(settings.loss).has_soft_labels:
        raise UserError(
            f"--labels soft: the loss {settings.loss} takes no strengths of labels; leave it out, or choose another "
            "--loss."
        )
    if settings.is_game:
        raise UserError(f"--labels soft: nobody has voted on pictures of {settings.pairs}; leave it out.")


def _check_beta(settings: TrainSettings, given: dict[str, Any]) -> None:
    if settings.beta != "auto":
        if given.get("beta_share") is not None:
            raise UserError(f"--beta-share {settings.beta_share:g} goes with --beta auto.")
        return
    loss = known_loss(settings.loss)
    if not loss.has_beta:
        raise UserError(f"--beta auto: the loss {settings.loss} has no beta; leave it out.")
    if not loss.scales_margin:
        raise UserError(
            f"--beta auto: beta of the loss {settings.loss} is no factor before a margin; give --beta a number."
        )


def origins(given: dict[str, Any], config: Path | None = None) -> dict[str, str]:
    """Where `resolve_settings` has the value of each setting from: `option`, `--config FILE`, `recipe sd15/lora`,
    `loss dde` or `default`.
    """
    found = {name: origin for origin, values in _layers(given, config) for name in values}
    return {name: found.get(name, "default") for name in TrainSettings.model_fields}


def _layers(given: dict[str, Any], config: Path | None) -> list[tuple[str, dict[str, Any]]]:
    """The values of settings by where they come from; those that stand behind win. Defaults of fields are left out."""
    options = {name: value for name, value in given.items() if value is not None}
    file = read_config(config) if config else {}
    if options.get("model") not in (None, file.get("model")):
        file = {name: value for name, value in file.items() if name not in OF_MODEL}
    chosen = {"model": TrainFields.model, "loss": TrainFields.loss} | file | options
    model, loss = chosen["model"], known_loss(chosen["loss"]).name
    for values in (file, options, chosen):
        if "loss" in values:
            values["loss"] = loss  # which may have been called by another name
    source = resolve(model, chosen.get("model_revision"))
    if chosen.get("segment") is not None:
        parse_segment(chosen["segment"])
    name, entry = _entry(model, loss, source.is_tiny, source.family, chosen.get("lora") is not None)
    chosen = _of_loss(loss) | entry | chosen
    if options.get("beta") not in (None, "auto"):  # what another one was set by
        file.pop("beta_share", None)
    share = {"beta_share": BETA_SHARE} if chosen.get("beta") == "auto" else {}
    if "lr" not in chosen:
        raise UserError(
            f"There is no recipe for the loss {loss!r} with --model {model}: give --lr (and --beta)."
        )
    passes = {"micro_batch_size": chosen["batch_size"] if source.is_small else "auto"}
    out = {} if chosen.get("out") else {"out": str(Path("runs") / run_name(chosen))}
    return [
        ("default", share),
        ("default" if source.is_small else MEASURED, passes),
        (f"loss {loss}", _of_loss(loss)),
        (f"recipe {name}", entry),
        (f"--config {config}", file),
        ("option", options),
        ("default", out),
    ]


def recipe(
    model: str, loss: str, tiny: bool, family: str | None = None, lora: bool = False
) -> dict[str, Any]:
    """The recommended settings of recipes.yaml for a model and a loss.

    Args:
        model: its name; one that is no preset takes the settings of its kind.
        loss: the loss's name. Where there is no entry for it, there is no `lr`; its beta follows the rule of its file.
        tiny: whether it is a model of the built-in world, or started from one.
        family: `sd` or `sdxl`, if known.
        lora: whether adapters are trained, not the whole U-Net.
    """
    _, entry = _entry(model, loss, tiny, family, lora)
    return _of_loss(loss) | entry


def _entry(model: str, loss: str, tiny: bool, family: str | None, lora: bool) -> tuple[str, dict[str, Any]]:
    """The entry of recipes.yaml that a model takes, `tiny` or `sd15/lora`, and what it holds for a loss."""
    recipes = _recipes()
    name = model if model in recipes else "tiny" if tiny else FAMILY_RECIPES.get(family or "", "default")
    part = "lora" if lora else "full"
    if part in recipes[name]:
        name, entry = f"{name}/{part}", dict(recipes[name][part])
    else:
        entry = dict(recipes[name])
    return name, entry | entry.pop("losses").get(loss, {})


def _of_loss(loss: str) -> dict[str, Any]:
    """What a loss decides where nobody else does. Raises UserError for one that is not known."""
    known = known_loss(loss)
    beta = {} if known.usual_beta is None else {"beta": known.usual_beta}
    return {"error": known.error_unit} | beta | dict(known.defaults)


@functools.cache
def _recipes() -> dict[str, Any]:
    return read_yaml(Path(str(resources.files("ddecli.training").joinpath("recipes.yaml"))))


def run_name(settings: dict[str, Any]) -> str:
    """Default name of a run: model, loss, and what is unusual about it."""
    parts = [short_name(settings["model"]), settings["loss"]]
    is_usual = known_loss(settings["loss"]).defaults.get("pairs", "data") == settings.get("pairs", "data")
    parts += [] if is_usual else [settings["pairs"]]
    parts += ["soft"] if settings.get("labels") == "soft" else []
    parts += [settings["segment"]] if settings.get("segment") else []
    parts += [f"lora{settings['lora']}"] if settings.get("lora") else []
    return "-".join(parts)


def read_settings(path: Path) -> TrainSettings:
    """Read the run.yaml of a run.

    Raises:
        UserError: missing, damaged, or settings that no run can have.
    """
    try:
        return TrainSettings(**read_config(path))
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {_one_sentence(error)}") from error


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Raises:
        UserError: missing, no YAML, no settings, or an unknown one.
    """
    values = read_yaml(path)
    unknown = [key for key in values if key not in TrainSettings.model_fields]
    if unknown:
        raise UserError(
            f"{path} has an unknown setting {unknown[0]!r}; known are {', '.join(TrainSettings.model_fields)}."
        )
    try:
        check_shape({name: value for name, value in values.items() if name in WORDS}, dict[str, str | None])
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}).") from error
    is_complete = "pairs_sha256" in values  # a run.yaml, which names all settings that there were
    return BEFORE | values if is_complete else values


def _one_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    option = "--" + name.replace("_", "-")
    return f"{option} {repr(first.get('input'))[:60]}: {first['msg'][0].lower()}{first['msg'][1:]}."
