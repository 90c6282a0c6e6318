"""LoRA weights under kohya's names: the modules that ComfyUI and A1111 list, and the numbers of diffusers' file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from single_files import _unet
from torch import Tensor

from ddecli.models.base import LORA_TARGETS, DiffusionModel
from ddecli.models.kohya import kohya_file_name, save_kohya
from ddecli.models.load import load_for_sampling, load_model
from ddecli.models.original_names import original_blocks, original_name

State = dict[str, Tensor]
DIFFUSERS = "pytorch_lora_weights.safetensors"
SD15: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
SDXL: dict[str, Any] = {
    "sample_size": 128, "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10), "attention_head_dim": (5, 10, 20), "use_linear_projection": True,
    "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}  # fmt: skip
"""As the published models configure it; of SD 1.5 what is no default."""


def unet_of(**config: Any) -> UNet2DConditionModel:
    """An empty U-Net of real size."""
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


def adapters_of(unet: Any) -> State:
    """By peft's names, for what is trained: far smaller than they would be."""
    modules = [name for name, _ in unet.named_modules() if name.endswith(LORA_TARGETS)]
    return {f"{name}.lora_{side}.weight": torch.ones(4, 4) for name in modules for side in "AB"}


def modules_in(file: Path) -> set[str]:
    """The modules that a file is for, each of which has to be there with both matrices and alpha."""
    keys = set(load_file(file))
    modules = {key.split(".")[0] for key in keys}
    assert keys == {
        f"{name}.{end}" for name in modules for end in ("lora_down.weight", "lora_up.weight", "alpha")
    }
    return modules


def projections(block: str, depth: int) -> set[str]:
    return {
        f"lora_unet_{block}_transformer_blocks_{layer}_{attention}_{to}"
        for layer in range(depth)
        for attention in ("attn1", "attn2")
        for to in ("to_q", "to_k", "to_v", "to_out_0")
    }


def test_the_modules_of_sdxl_are_those_of_its_published_network(tmp_path: Path) -> None:
    unet = unet_of(**SDXL)
    save_kohya(tmp_path / "a.safetensors", unet, adapters_of(unet), "sdxl", is_sdxl=True)
    shallow = ("input_blocks_4", "input_blocks_5", "output_blocks_3", "output_blocks_4", "output_blocks_5")
    deep = ("input_blocks_7", "input_blocks_8", "middle_block", "output_blocks_0", "output_blocks_1")
    expected = {name for block in shallow for name in projections(f"{block}_1", 2)}
    expected |= {name for block in (*deep, "output_blocks_2") for name in projections(f"{block}_1", 10)}
    assert modules_in(tmp_path / "a.safetensors") == expected and len(expected) == 560


def test_the_modules_of_sd_are_those_that_a1111_finds(tmp_path: Path) -> None:
    """It looks for block B, layer L in `input_blocks_{1 + 3 B + L}_1` and `output_blocks_{3 B + L}_1`."""
    unet = unet_of(**SD15)
    save_kohya(tmp_path / "a.safetensors", unet, adapters_of(unet), "sd15", is_sdxl=False)
    down = [("down", block, layer) for block in (0, 1, 2) for layer in (0, 1)]
    up = [("up", block, layer) for block in (1, 2, 3) for layer in (0, 1, 2)]
    places = {
        f"{side}_blocks.{block}.attentions.{layer}": (
            f"input_blocks.{1 + 3 * block + layer}.1"
            if side == "down"
            else f"output_blocks.{3 * block + layer}.1"
        )
        for side, block, layer in (*down, *up)
    } | {"mid_block.attentions.0": "middle_block.1"}
    expected = {name for block in places for name in projections(block.replace(".", "_"), 1)}
    assert modules_in(tmp_path / "a.safetensors") == expected and len(expected) == 128
    blocks = original_blocks(unet)
    for own, original in places.items():
        assert original_name(f"{own}.proj_in.weight", blocks) == f"{original}.proj_in.weight"


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_every_parameter_has_its_original_name(family: str, request: pytest.FixtureRequest) -> None:
    unet = load_model(str(request.getfixturevalue(f"{family}_folder")), encoders=False).unet
    blocks = original_blocks(unet)
    ours = {original_name(name, blocks): value.data_ptr() for name, value in unet.state_dict().items()}
    assert ours == {name: value.data_ptr() for name, value in _unet(unet).items()}


@pytest.fixture(params=["sd", "sdxl"])
def trained(request: pytest.FixtureRequest) -> DiffusionModel:
    """A model with adapters of rank 3 that change it."""
    model = load_model(str(request.getfixturevalue(f"{request.param}_folder")))
    model.add_lora(3, seed=0)
    for parameter in model.trainable().values():
        parameter.data += 0.1
    return model


def adapters_in(base: Path, folder: Path, file: str | None = None) -> State:
    """The adapters that stock diffusers makes of a folder, or of a file in it, and a picture drawn with them."""
    pipeline = DiffusionPipeline.from_pretrained(base, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(folder, weight_name=file)
    [config] = pipeline.unet.peft_config.values()
    assert config.lora_alpha == config.r == 3 and not config.alpha_pattern
    drawn = pipeline(
        "a red circle", num_inference_steps=2, height=32, width=32, output_type="pt",
        generator=torch.Generator().manual_seed(0),
    ).images  # fmt: skip
    state = {name: value for name, value in pipeline.unet.state_dict().items() if "lora" in name}
    return state | {"picture": drawn}


def test_stock_diffusers_reads_the_same_to_the_last_bit(trained: DiffusionModel, tmp_path: Path) -> None:
    trained.save(tmp_path, lora_format="both", name="mine")
    assert {file.name for file in tmp_path.iterdir()} == {DIFFUSERS, "mine-kohya.safetensors"}
    ours, theirs = (adapters_in(trained.folder, tmp_path, f) for f in (DIFFUSERS, "mine-kohya.safetensors"))
    assert ours.keys() == theirs.keys() and len(ours) > 16
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    changed = {name: value * 0 for name, value in load_file(tmp_path / "mine-kohya.safetensors").items()}
    save_file(changed, tmp_path / "mine-kohya.safetensors")
    chosen = adapters_in(trained.folder, tmp_path)  # of a folder with both, that of diffusers
    assert all(torch.equal(value, chosen[name]) for name, value in ours.items())


@pytest.mark.parametrize(
    ("lora_format", "files"),
    [("diffusers", {DIFFUSERS}), ("kohya", {"lora-kohya.safetensors"})],
)
def test_one_format_alone(trained: DiffusionModel, tmp_path: Path, lora_format: Any, files: set[str]) -> None:
    model = tmp_path / "run" / "model"
    trained.save(model, lora_format=lora_format)
    assert {file.name for file in model.iterdir()} == files
    assert len(adapters_in(trained.folder, model)) > 16
    (tmp_path / "run" / "run.yaml").write_text(f"model: {trained.folder}\n")
    found = load_for_sampling(str(tmp_path / "run")).unet.state_dict()
    for name, value in trained.unet.state_dict().items():
        if "lora" in name:
            assert torch.equal(found[name.replace(".default.", ".default_0.")], value)


def test_what_the_file_says_of_itself(trained: DiffusionModel, tmp_path: Path) -> None:
    trained.save(tmp_path, lora_format="kohya", name="my run")
    with safe_open(tmp_path / "my-run-kohya.safetensors", framework="pt") as file:
        assert file.metadata() == {
            "format": "pt", "ss_output_name": "my-run-kohya", "ss_sd_model_name": trained.folder.name,
            "ss_network_module": "networks.lora", "ss_network_dim": "3", "ss_network_alpha": "3",
        }  # fmt: skip
        alphas = [file.get_tensor(name) for name in file.keys() if name.endswith(".alpha")]  # noqa: SIM118
    assert all(alpha.shape == () and alpha.dtype == torch.float32 and alpha == 3 for alpha in alphas)


def test_the_same_weights_have_the_same_bytes(trained: DiffusionModel, tmp_path: Path) -> None:
    """The library writes what a header says in an order that differs from one time to the next."""
    for number in range(8):
        trained.save(tmp_path / str(number), lora_format="kohya", name="süß")
    (content,) = {(tmp_path / str(number) / "süß-kohya.safetensors").read_bytes() for number in range(8)}
    assert "süß-kohya".encode() in content


@pytest.mark.parametrize(
    ("config", "version", "v2"),
    [
        (SD15, "sd_v1", "False"),
        (SD15 | {"cross_attention_dim": 1024}, "sd_v2", "True"),
        (SDXL, "sdxl_base_v1-0", "False"),
    ],
)
def test_the_base_by_which_a1111_tells_them_apart(
    config: dict[str, Any], version: str, v2: str, tmp_path: Path
) -> None:
    unet = unet_of(**config)
    save_kohya(tmp_path / "a.safetensors", unet, adapters_of(unet), "x", is_sdxl=version.startswith("sdxl"))
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert (file.metadata()["ss_base_model_version"], file.metadata()["ss_v2"]) == (version, v2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sd15-dde-lora16", "sd15-dde-lora16"),
        ("a:b <c>/d", "a-b-c-d"),
        ("-.", "lora"),
        ("é" * 255, "é" * 100),
    ],
)
def test_names_of_files(name: str, expected: str) -> None:
    assert kohya_file_name(name) == f"{expected}-kohya.safetensors"
