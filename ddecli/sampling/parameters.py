"""What a PNG says of how it was made, in the words of A1111's `parameters`, which A1111 and ComfyUI read.

The prompt, a line `Negative prompt:` (without one ComfyUI reads nothing), and a line of settings. It says nothing of
when, where and by which version, so that a picture that is made again has the same bytes.
"""

from __future__ import annotations

import json

from PIL.PngImagePlugin import PngInfo

from ddecli.core.protocol import DDIM

KEYWORD = "parameters"


def parameters_text(
    prompt: str,
    seed: int,
    size: tuple[int, int],
    model: str,
    sampler: str,
    steps: int,
    guidance_scale: float,
    spacing: str | None,
) -> str:
    """The text of a picture.

    Args:
        seed: that its starting noise is drawn from, on the CPU.
        size: width and height, pixels.
        model: what it is called.
        sampler: as protocol.json says it, and so `spacing`.
    """
    settings = {
        "Steps": steps,
        "Sampler": "DDIM" if sampler == DDIM else sampler,
        "CFG scale": f"{guidance_scale:g}",
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": model,
        "RNG": "CPU",
        **({"Timestep spacing": spacing} if spacing else {}),
    }
    line = ", ".join(f"{name}: {_quoted(str(value))}" for name, value in settings.items())
    return f"{prompt}\nNegative prompt: \n{line}"


def png_info(text: str) -> PngInfo:
    """The text as a PNG holds it: letters beyond ASCII in UTF-8, which readers do not take for another encoding."""
    info = PngInfo()
    (info.add_text if text.isascii() else info.add_itxt)(KEYWORD, text)
    return info


def _quoted(value: str) -> str:
    """A value that would end too early, as A1111 writes it."""
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ',:\n"') else value
