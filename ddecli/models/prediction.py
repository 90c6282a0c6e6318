"""What a single checkpoint file says of its noise schedule: beside it, by tensors, or in its header.

A configuration for the original code may lie beside the file, `model.yaml` for `model.safetensors`: people put it there
to say what the file does not, so it counts first. Then comes an empty tensor `v_pred`, then `modelspec.prediction_type`
in the header, where programs write "epsilon" of whatever they do not know better.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml
from ddecli.models.weight_files import UNET, header, tensor_shapes

V_PREDICTION, ZERO_TERMINAL_SNR = "v_pred", "ztsnr"
"""Names of empty tensors by which files say that they predict v, or were trained with zero terminal SNR."""

HEADER_KEY = "modelspec.prediction_type"
WORDS = {
    "eps": "epsilon", "epsilon": "epsilon", "EpsScaling": "epsilon",
    "v": "v_prediction", "v_prediction": "v_prediction", "v-prediction": "v_prediction", "VScaling": "v_prediction",
    "x0": "sample", "sample": "sample",
}  # fmt: skip
"""diffusers' names of what a model predicts, by the words of configurations and headers."""

SD2_KEY, SD2_WIDTH = f"{UNET}input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", 1024


@dataclass(frozen=True)
class Prediction:
    """What a file says of its schedule.

    kind: `epsilon`, `v_prediction` or `sample`; None where the file says nothing.
    source: what says it, for people.
    scheduler: settings of the scheduler that it means.
    """

    kind: str | None = None
    source: str = ""
    scheduler: dict[str, Any] = field(default_factory=dict)


def said_prediction(file: Path) -> Prediction:
    """What a whole checkpoint file says of its schedule.

    Raises:
        UserError: something that is not known, such as a flow.
    """
    names = tensor_shapes(file)
    beside = configuration_beside(file)
    word = header(file).get(HEADER_KEY)
    said = [
        (str(beside), _in_configuration(beside) if beside else None),
        (f"its tensor {V_PREDICTION}", "v_prediction" if V_PREDICTION in names else None),
        (f"{HEADER_KEY} in its header", _known(word, f"{HEADER_KEY} in the header of {file}")),
    ]
    said = [(source, kind) for source, kind in said if kind]
    if not said:
        return Prediction()
    source, kind = said[0]
    scheduler: dict[str, Any] = {"prediction_type": kind}
    if kind == "v_prediction" and ZERO_TERMINAL_SNR in names:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    return Prediction(kind, source, scheduler)


def check_prediction(file: Path, said: Prediction, configured: str, beside: Path | None) -> None:
    """Refuse to guess what a file predicts.

    Args:
        said: of the file.
        configured: by the scheduler of the folder beside it, or of the hub's repository of its family.
        beside: that folder, None without one.

    Raises:
        UserError: the header says noise and the folder something else; or a Stable Diffusion 2 that says nothing, of
            which there are both kinds.
    """
    if HEADER_KEY in said.source and said.kind == "epsilon" and beside and configured != said.kind:
        raise UserError(
            f"{file} predicts noise by {said.source}, and {configured} by the scheduler in {beside}: {_way_out(file)}."
        )
    shape = tensor_shapes(file).get(SD2_KEY, [0])
    if said.kind is None and beside is None and shape[-1] == SD2_WIDTH:
        raise UserError(
            f"{file} is a Stable Diffusion 2 and does not say whether it predicts noise or v: {_way_out(file)}."
        )


def configuration_beside(file: Path) -> Path | None:
    """The configuration for the original code that lies beside a checkpoint file, if there is one."""
    return next((path for end in (".yaml", ".yml") if (path := file.with_suffix(end)).is_file()), None)


def _in_configuration(path: Path) -> str | None:
    """What the original code's `parameterization`, or SDXL's `denoiser_config`, says."""
    model = read_yaml(path).get("model")
    params = _settings(model, "params")
    scaling = _settings(params, "denoiser_config", "params", "scaling_config").get("target")
    word = params.get("parameterization") or (scaling and str(scaling).rpartition(".")[2])
    return _known(word, str(path))


def _settings(values: Any, *names: str) -> dict[Any, Any]:
    for name in names:
        values = values.get(name) if isinstance(values, dict) else None
    return values if isinstance(values, dict) else {}


def _known(word: object, where: str) -> str | None:
    if word is None or word == "":
        return None
    if str(word) not in WORDS:
        raise UserError(
            f"{where} says that the model predicts {word!r}: only noise (eps), v and the clean latents (x0) on a "
            "discrete schedule are supported."
        )
    return WORDS[str(word)]


def _way_out(file: Path) -> str:
    return f"say it in {file.with_suffix('.yaml')}, as `model: {{params: {{parameterization: v}}}}` (or eps)"
