"""What the U-Net is told besides the prompt: without a prompt, and of sizes; against the stock pipelines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from pair_data import png
from torch import Tensor

from ddecli.core.errors import UserError
from ddecli.data.pairs import Pair
from ddecli.data.prepare import prepare
from ddecli.models.load import load_for_sampling, load_model
from ddecli.training.batches import Batch
from ddecli.training.loop import train
from ddecli.training.settings import TrainSettings, resolve_settings
from ddecli.training.trainer import Trainer

Make = Callable[..., TrainSettings]


@pytest.fixture(scope="module")
def odd_store(sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pairs whose winners are wide and whose losers are tall."""
    folder = tmp_path_factory.mktemp("odd") / "store"
    sizes = ((80, 40), (30, 90))
    pairs = [
        Pair(f"{n}", png(2 * n, sizes[0]), png(2 * n + 1, sizes[1]), f"prompt {n}", "test") for n in range(8)
    ]
    prepare(pairs, load_model(str(sdxl_folder)), folder, source="test")
    return folder


def first_batch(settings: TrainSettings) -> Batch:
    trainer = Trainer(settings)
    return trainer.batches(trainer.micro_batches(0)[0])


def seen_in_sampling(folder: Path) -> dict[str, Tensor]:
    """What the stock pipeline gives its U-Net where there is no prompt, a row each."""
    pipeline = load_for_sampling(str(folder)).pipeline
    seen: dict[str, Tensor] = {}

    def keep(module: object, args: tuple, kwargs: dict, output: object) -> None:
        added = kwargs.get("added_cond_kwargs") or {}
        seen["prompt_embeds"] = kwargs["encoder_hidden_states"][:1]  # the unconditional half comes first
        if added:
            seen["pooled_prompt_embeds"], seen["sizes"] = added["text_embeds"][:1], added["time_ids"][:1]

    pipeline.unet.register_forward_hook(keep, with_kwargs=True)
    pipeline("a red circle", num_inference_steps=1, guidance_scale=2.0, height=32, width=32)
    return seen


@pytest.mark.parametrize("family", ["sd", "sdxl", "sdxl-encoded"])
def test_a_dropped_prompt_is_sampling_s_unconditional(
    family: str, request: pytest.FixtureRequest, settings: Make, tmp_path: Path
) -> None:
    name = family.removesuffix("-encoded")
    folder, store = (request.getfixturevalue(f"{name}_{what}") for what in ("folder", "store"))
    if family == "sdxl-encoded":  # SDXL as the tiny world has it
        folder = Path(shutil.copytree(folder, tmp_path / "model"))
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {"force_zeros_for_empty_prompt": False}))
    seen = seen_in_sampling(folder)
    asked = {"model": str(folder), "data": str(store), "prompt_dropout": 1.0}
    dropped = first_batch(settings(**asked)).conditioning
    for key, value in dropped.items():
        torch.testing.assert_close(value, seen[key].expand_as(value), rtol=1e-5, atol=1e-5)
        assert value.any() == (family != "sdxl")
    encoded = first_batch(settings(**asked, dropped_prompt="encoded")).conditioning
    expected = load_model(str(folder)).encode_prompts([""])
    for key, value in encoded.items():
        torch.testing.assert_close(value, expected[key].expand_as(value), rtol=1e-5, atol=1e-5)
        assert value.any()


def test_dropped_prompts_leave_the_others_as_they_are(
    settings: Make, sdxl_folder: Path, sdxl_store: Path
) -> None:
    asked = {"model": str(sdxl_folder), "data": str(sdxl_store), "batch_size": 32, "micro_batch_size": 32}
    kept = first_batch(settings(**asked)).conditioning
    some = first_batch(settings(**asked, prompt_dropout=0.5)).conditioning
    for key, value in some.items():
        zero = ~value.flatten(1).any(1)
        assert 20 < zero.sum() < 44 and torch.equal(*zero.chunk(2))  # of 64 rows; both of a pair or none
        assert torch.equal(value[~zero], kept[key][~zero])


def test_both_of_a_pair_have_the_size_condition_of_sampling(
    settings: Make, sdxl_folder: Path, odd_store: Path
) -> None:
    asked = {"model": str(sdxl_folder), "data": str(odd_store)}
    sizes = first_batch(settings(**asked)).sizes
    assert torch.equal(sizes, seen_in_sampling(sdxl_folder)["sizes"].long().expand(16, 6))
    winners, losers = first_batch(settings(**asked, size_condition="own")).sizes.chunk(2)
    assert torch.equal(winners, torch.tensor([[40, 80, 0, 16, 32, 32]]).expand(8, 6))
    assert torch.equal(losers, torch.tensor([[90, 30, 32, 0, 32, 32]]).expand(8, 6))


def test_a_run_that_began_before_these_settings_goes_on_as_it_began(
    settings: Make, sdxl_folder: Path, odd_store: Path, tmp_path: Path
) -> None:
    asked = {"model": str(sdxl_folder), "data": str(odd_store), "prompt_dropout": 0.5, "steps": 1}
    then = {"dropped_prompt": "encoded", "size_condition": "own"}
    train(settings(**asked, **then))
    file = tmp_path / "run" / "run.yaml"
    written = yaml.safe_load(file.read_text())
    assert then.items() <= written.items()
    file.write_text(yaml.safe_dump({name: written[name] for name in written.keys() - then.keys()}))

    asked["steps"] = 2
    train(settings(**asked), resume=True)
    assert then.items() <= yaml.safe_load(file.read_text()).items()
    with pytest.raises(UserError, match="size_condition 'own'|dropped_prompt 'encoded'"):
        train(settings(**asked), resume=True)
    file.write_text(yaml.safe_dump({name: written[name] for name in written.keys() - then.keys()}))
    assert then.items() <= resolve_settings({}, file).model_dump().items()  # and so it is repeated
