"""LoRA weights in a run's folder, whoever wrote them: the same numbers as in our own names, or one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tiny_models
import torch
from kohya import kohya_names, rewrite, text_encoder_weights
from safetensors.torch import load_file
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.models.load import load_for_sampling, load_model

State = dict[str, Tensor]
FAMILIES = ("sd", "sdxl")


@pytest.fixture(params=FAMILIES)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A LoRA run whose second matrices are not zero."""
    base = request.getfixturevalue(f"{request.param}_folder")
    model = load_model(str(base), encoders=False)
    model.add_lora(2, seed=0)
    with torch.no_grad():
        for name, value in model.trainable().items():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))) / 4)
    model.save(tmp_path / "run" / "model")
    (tmp_path / "run" / "run.yaml").write_text(f"model: {base}\n")
    return tmp_path / "run"


def weights(run: Path) -> Path:
    return run / "model" / "pytorch_lora_weights.safetensors"


def fused(run: Path) -> State:
    """The U-Net's weights with the LoRA in them."""
    return load_model(str(run), encoders=False).unet.state_dict()


@pytest.mark.parametrize("names", ["diffusers", "original", "peft"])
def test_weights_under_other_names_are_the_same(run: Path, names: str) -> None:
    ours, expected = load_file(weights(run)), fused(run)
    base = load_for_sampling((run / "run.yaml").read_text().split()[1]).pipeline.unet
    assert any(not torch.equal(value, base.state_dict()[name]) for name, value in expected.items())
    if names == "peft":
        theirs = {
            name.replace("lora.down", "lora_A").replace("lora.up", "lora_B"): value
            for name, value in ours.items()
        }
    else:
        theirs = kohya_names(ours, base if names == "original" and is_sdxl(run) else None)
    assert theirs.keys() != ours.keys()
    rewrite(weights(run), theirs)
    found = fused(run)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def is_sdxl(run: Path) -> bool:
    return "sdxl" in (run / "run.yaml").read_text()


def test_kohyas_alpha_counts(run: Path) -> None:
    expected = fused(run)
    theirs = kohya_names(load_file(weights(run)))
    half = {name: value / 2 if name.endswith("alpha") else value for name, value in theirs.items()}
    rewrite(weights(run), half)
    base = load_for_sampling((run / "run.yaml").read_text().split()[1]).pipeline.unet.state_dict()
    for name, value in fused(run).items():
        torch.testing.assert_close(
            value - base[name], (expected[name] - base[name]) / 2, atol=1e-6, rtol=1e-4
        )


def test_weights_of_another_model(run: Path) -> None:
    theirs = kohya_names(load_file(weights(run)))
    elsewhere = {name.replace("attentions_0", "attentions_7"): value for name, value in theirs.items()}
    rewrite(weights(run), elsewhere)
    with pytest.raises(
        UserError, match=r"pytorch_lora_weights.safetensors do not fit .* \(see its .*attentions_7"
    ):
        load_for_sampling(str(run))
    wider = {
        name: torch.zeros(2, value.shape[1] + 8) if name.endswith("down.weight") else value
        for name, value in theirs.items()
    }
    rewrite(weights(run), wider)
    with pytest.raises(UserError, match="do not fit"):
        load_for_sampling(str(run))
    if is_sdxl(run):  # names of the original code, which diffusers has to find the places for
        base = tiny_models.sdxl_pipeline().unet
        theirs = kohya_names(ours_of(theirs), base)
        rewrite(weights(run), {name.replace("_attn1_", "_attn3_"): value for name, value in theirs.items()})
        with pytest.raises(UserError, match=r"do not fit .* matrices have no place there"):
            load_for_sampling(str(run))


def ours_of(theirs: State) -> State:
    """Names of ours for kohya's, of the modules that these tests have."""
    modules = {name.replace(".", "_"): name for name, _ in tiny_models.sdxl_pipeline().unet.named_modules()}
    ends = {"lora_down.weight": "lora.down.weight", "lora_up.weight": "lora.up.weight"}
    state = {}
    for name, value in theirs.items():
        stem, _, end = name.removeprefix("lora_unet_").partition(".")
        if end in ends:
            state[f"unet.{modules[stem]}.{ends[end]}"] = value
    return state


@pytest.mark.parametrize("encoders", [("te",), ("te1",), ("te2",), ("te1", "te2")])
def test_weights_for_a_text_encoder_are_sampled_and_not_trained(run: Path, encoders: tuple[str, ...]) -> None:
    if is_sdxl(run) != (encoders != ("te",)):
        pytest.skip("names of the other family")
    plain = load_for_sampling(str(run)).pipeline
    theirs = kohya_names(load_file(weights(run)))
    for each in encoders:
        own = text_encoder_weights()
        theirs |= {name.replace("lora_te_", f"lora_{each}_"): value for name, value in own.items()}
    rewrite(weights(run), theirs)
    pipeline = load_for_sampling(str(run)).pipeline
    before, after = (
        each.encode_prompt(
            "a red circle", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
        )[0]
        for each in (plain, pipeline)
    )
    assert not torch.allclose(before, after)
    for whole in (True, False):
        with pytest.raises(UserError, match="change the text encoder too"):
            load_model(str(run), encoders=whole)


@pytest.mark.parametrize(
    "names",
    [("hello",), ("lora_unet_mid_block_attentions_0_proj_in.hada_w1_a",), ("unet.mid_block.lora.up.weight",)],
)
def test_what_is_no_lora(run: Path, names: tuple[str, ...]) -> None:
    rewrite(weights(run), {name: torch.zeros(2, 2) for name in names})
    with pytest.raises(
        UserError, match=r"pytorch_lora_weights.safetensors holds no LoRA weights that .* LoKr"
    ):
        load_for_sampling(str(run))


def test_weights_under_another_file_name(run: Path) -> None:
    expected = fused(run)
    other = weights(run).rename(run / "model" / "last.safetensors")
    found = fused(run)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    shutil.copyfile(other, run / "model" / "first.safetensors")
    with pytest.raises(
        UserError, match="several .safetensors files and none of them named pytorch_lora_weights"
    ):
        load_for_sampling(str(run))
    for file in (run / "model").iterdir():
        file.unlink()
    with pytest.raises(UserError, match="holds no diffusers pipeline .* and no LoRA weights"):
        load_for_sampling(str(run))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(run: Path, value: float) -> None:
    state = load_file(weights(run))
    name = sorted(state)[-1]
    state[name][0, 0] = value
    rewrite(weights(run), state)
    with pytest.raises(UserError, match=rf"numbers that are not finite \(in {name}\)"):
        load_for_sampling(str(run))


def test_names_that_nobody_knows(run: Path) -> None:
    theirs = kohya_names(load_file(weights(run)))
    rewrite(weights(run), theirs | {"lora_unet_conv_in.hada_w1_a": torch.zeros(2, 2)})
    with pytest.raises(UserError, match=r"holds lora_unet_conv_in.hada_w1_a, which belongs to no LoRA"):
        load_for_sampling(str(run))
