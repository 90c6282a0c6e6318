"""JSON and YAML as strangers write them, or a failing disk leaves them: values of a known shape, or a ValueError.

Whatever is wrong is said in one line. YAML 1.1 has two traps that nobody means to step into: a setting given twice,
of which the last one counts, and numbers such as 010 (8) and 1:30 (90); both are refused.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

DEEPEST = 100
"""Brackets within brackets. Files of settings have some five, and readers that call themselves end at some hundreds."""
_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""What YAML 1.1 reads as a number to the base 8 or 60."""


def parse_json(text: str | bytes) -> Any:
    """The value that a text in JSON stands for, of bytes in any of Unicode's encodings.

    Raises:
        ValueError: it is no JSON, or nested more than `DEEPEST` deep.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text))
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}, column {error.colno}: {error.msg}") from error
    if text.count("[") + text.count("{") > DEEPEST:
        _check_depth(value)
    return value


def parse_yaml(text: str) -> Any:
    """The value that a text in YAML stands for.

    Raises:
        ValueError: it is no YAML, has a key twice, a number to another base than ten, or is nested too deeply.
    """
    import yaml

    try:
        return yaml.load(text, Loader=_strict_loader())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ValueError(f"line {mark.line + 1}, {problem}" if mark else problem) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError) as error:  # as of `!!bool 7`
        raise ValueError(f"a value is not what its tag says ({error!r})") from error


def check_shape(value: Any, shape: Any) -> None:
    """Compare a parsed value with the types that it should be made of.

    Args:
        shape: a type as pydantic understands it: a model, `dict[str, Any]`, `list[int]` and so on. Text is no
            number here; keys that a model does not name are let through.

    Raises:
        ValueError: says where it differs.
    """
    from pydantic import ValidationError

    try:
        _adapter(shape).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"][:1].lower() + first["msg"][1:]
        raise ValueError(f"{place}: {said}" if place else said) from error


@cache
def _adapter(shape: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(shape)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        lists = [
            each.values() if isinstance(each, dict) else each
            for each in level
            if isinstance(each, dict | list)
        ]
        level = [item for each in lists for item in each]
        if not level:
            return
    raise ValueError("it is nested too deeply")


@cache
def _strict_loader() -> Any:
    import yaml

    class StrictLoader(yaml.SafeLoader):
        """Refuses what two readers of one file would read differently."""

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
                if name in seen and name is not None:
                    raise yaml.constructor.ConstructorError(
                        problem=f"{key.value} is there twice", problem_mark=key.start_mark
                    )
                seen.add(name)
            return node

        def number(self, node: Any) -> Any:
            if _OTHER_BASE.fullmatch(node.value):
                raise yaml.constructor.ConstructorError(
                    problem=f"{node.value} is a number to another base than ten in YAML: write it as an ordinary "
                    "number, or in quotation marks if it is a text",
                    problem_mark=node.start_mark,
                )
            is_whole = node.tag == "tag:yaml.org,2002:int"
            return self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)

    for kind in ("int", "float"):
        StrictLoader.add_constructor(f"tag:yaml.org,2002:{kind}", StrictLoader.number)
    return StrictLoader
