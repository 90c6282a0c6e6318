"""Which trackers there are, and whether they are installed. Imports nothing heavy."""

from __future__ import annotations

from importlib.util import find_spec

from ddecli.core.errors import UserError

TRACKERS = {
    name: name.replace("_", "-")
    for name in (
        "tensorboard",
        "wandb",
        "trackio",
        "mlflow",
        "comet_ml",
        "aim",
        "clearml",
        "dvclive",
        "swanlab",
    )
}
"""What accelerate can log to: the module, by whose name it is asked for, and the package that has it."""


def named_trackers(text: str | None) -> list[str]:
    """The trackers that `--report-to` names, `"tensorboard,wandb"`.

    Raises:
        UserError: one is unknown or not installed.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(","))) if text is not None else []
    for name in names:
        if name not in TRACKERS:
            raise UserError(
                f"--report-to {name!r}: there is no such tracker; known are {', '.join(TRACKERS)}."
            )
        if find_spec(name) is None:
            raise UserError(
                f"--report-to {name}: it is not installed; pip install {TRACKERS[name]}, or leave the option out."
            )
    return names
