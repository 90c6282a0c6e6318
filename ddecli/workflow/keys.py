"""The keys of an experiment's configuration, held to its schema: one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml
from ddecli.objectives.registry import LOSSES
from ddecli.workflow.options import meant


def check_keys(config: dict[str, Any], schema: str | Path, files: Sequence[str | Path]) -> None:
    """Check the keys of a configuration, and the kinds of their values.

    Args:
        schema: a JSON schema, as YAML; its `loss` is one of those that there are.
        files: that the configuration was read from, for the error.

    Raises:
        UserError: one sentence that names the file and the key.
    """
    rules = read_yaml(Path(schema))
    rules["$defs"]["loss"]["enum"] = list(LOSSES)
    errors = list(jsonschema.Draft202012Validator(rules).iter_errors(config))
    if errors:  # a key that is unknown may be the one that is missing
        first = min(errors, key=lambda error: (error.validator != "additionalProperties", len(error.path)))
        raise UserError(f"{' and '.join(map(str, files))}: {_sentence(first)}")


def _sentence(error: ValidationError) -> str:
    place = ".".join(map(str, error.absolute_path))
    schema: Any = error.schema
    if error.validator == "additionalProperties":
        known = schema.get("properties", {})
        unknown = next(key for key in error.instance if key not in known)
        return f"{place}.{unknown} is no known key{meant(unknown, known)}".removeprefix(".")
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        return f"{place or 'the configuration'} has no {missing!r}, which it needs."
    if error.validator == "enum":
        return f"{place}: there is no {error.instance!r}{meant(error.instance, error.validator_value)}"
    wanted = schema.get("description")
    said = f"{error.instance!r} cannot be used here" if error.validator == "anyOf" else error.message
    return f"{place}: {said}{f' ({wanted})' if wanted else ''}."
