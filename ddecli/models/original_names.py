"""A U-Net's modules by the names of the original code (CompVis's, Stability's), which other programs know them by.

There the blocks of one side are numbered through, layer by layer: `input_blocks.4.1` is what diffusers calls
`down_blocks.1.attentions.0` in a network of two layers a block.
"""

from __future__ import annotations

from typing import Any

OUTSIDE = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
"""What lies in no block."""
IN_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip


def original_blocks(unet: Any) -> dict[str, str]:
    """Of every layer of a diffusers U-Net the original name, by its own: `mid_block.resnets.1` is `middle_block.2`.

    Of a downsampler it is that of its convolution.
    """
    names = dict(OUTSIDE)
    number = 0
    for block_number, block in enumerate(unet.down_blocks):
        here = f"down_blocks.{block_number}"
        for layer in range(len(block.resnets)):
            number += 1
            names[f"{here}.resnets.{layer}"] = f"input_blocks.{number}.0"
            names[f"{here}.attentions.{layer}"] = f"input_blocks.{number}.1"
        if block.downsamplers:
            number += 1
            names[f"{here}.downsamplers.0.conv"] = f"input_blocks.{number}.0.op"
    middle = unet.mid_block
    attentions = len(getattr(middle, "attentions", None) or [])
    names |= {f"mid_block.attentions.{layer}": f"middle_block.{2 * layer + 1}" for layer in range(attentions)}
    resnets = range(len(middle.resnets) if middle is not None else 0)
    names |= {f"mid_block.resnets.{n}": f"middle_block.{2 * n if attentions else n}" for n in resnets}
    number = 0
    for block_number, block in enumerate(unet.up_blocks):
        here = f"up_blocks.{block_number}"
        for layer in range(len(block.resnets)):
            names[f"{here}.resnets.{layer}"] = f"output_blocks.{number}.0"
            names[f"{here}.attentions.{layer}"] = f"output_blocks.{number}.1"
            number += 1
        if block.upsamplers:
            behind = 2 if getattr(block, "attentions", None) else 1
            names[f"{here}.upsamplers.0"] = f"output_blocks.{number - 1}.{behind}"
    return names


def original_name(name: str, blocks: dict[str, str]) -> str:
    """The original name of a parameter or module.

    Args:
        name: in a diffusers U-Net.
        blocks: of `original_blocks`.

    Raises:
        KeyError: a part that the original networks do not have.
    """
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        own = ".".join(parts[:length])
        if own in blocks:
            rest = parts[length:]
            if "resnets" in own and rest:
                rest[0] = IN_RESNET[rest[0]]
            return ".".join([blocks[own], *rest])
    raise KeyError(name)
