"""What training is made of, by closed forms: the batch, the step's gradient, clipping, rates, optimizers, averages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn

from ddecli.training.checkpoint import load_checkpoint
from ddecli.training.loop import train
from ddecli.training.optimizers import build_optimizer
from ddecli.training.record import Brake
from ddecli.training.settings import TrainSettings
from ddecli.training.trainer import Trainer
from ddecli.training.weight_average import WeightAverage

Make = Callable[..., TrainSettings]
NEVER = 1e9


def rows(store: Path, pattern: str, key: str) -> Tensor:
    """A tensor of a store's shards, read without the package."""
    return torch.cat([load_file(file)[key] for file in sorted(store.glob(pattern))]).float()


def pairs_of(store: Path) -> list[dict[str, Any]]:
    return pq.read_table(store / "pairs.parquet").to_pylist()


def one_step(trainer: Trainer, step: int = 0) -> dict[str, float | None]:
    return trainer.step(step, Brake(Path("checkpoints"), NEVER))


def gradients_at_the_step(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """Take one step; the gradients the optimizer was given."""
    seen: dict[str, Tensor] = {}

    def keep(*_: Any, **__: Any) -> None:
        seen.update({name: value.grad.clone() for name, value in trainer.parameters.items()})

    monkeypatch.setattr(trainer.optimizer, "step", keep)
    one_step(trainer)
    return seen


def norm(gradients: dict[str, Tensor]) -> float:
    return torch.cat([value.flatten() for value in gradients.values()]).double().norm().item()


def test_a_batch_holds_the_better_pictures_first(settings: Make, sd_store: Path) -> None:
    trainer = Trainer(settings(prompt_dropout=0.0))
    batch = trainer.batches(range(3, 9))
    drawn = trainer.batches.draws.batch(range(3, 9))
    latents = rows(sd_store, "latents-*", "latents")
    embeddings = rows(sd_store, "prompt-embeddings-*", "prompt_embeds")
    pairs = [pairs_of(sd_store)[index] for index in drawn.pair_index.tolist()]
    assert any(pair["chosen"] != pair["rejected"] for pair in pairs)
    for side, half in (("chosen", slice(0, 6)), ("rejected", slice(6, 12))):
        assert torch.equal(batch.latents[half], torch.stack([latents[pair[side]] for pair in pairs])), side
        assert torch.equal(batch.eps[half], drawn.eps) and torch.equal(batch.t[half], drawn.t)
        told = batch.conditioning["prompt_embeds"][half]
        assert torch.equal(told, torch.stack([embeddings[pair["prompt"]] for pair in pairs]))
    winners = batch.winners()
    assert torch.equal(winners.latents, batch.latents[:6]) and torch.equal(winners.t, batch.t[:6])


@pytest.mark.parametrize(("share", "dropped"), [(0.0, 0), (1.0, 8)])
def test_dropped_prompts_are_the_empty_one(
    settings: Make, sd_store: Path, share: float, dropped: int
) -> None:
    batch = Trainer(settings(prompt_dropout=share)).batches(range(8))
    prompts = pq.read_table(sd_store / "prompts.parquet").to_pylist()
    empty = next(number for number, row in enumerate(prompts) if row["text"] == "")
    expected = rows(sd_store, "prompt-embeddings-*", "prompt_embeds")[empty]
    told = batch.conditioning["prompt_embeds"]
    assert sum(torch.equal(row, expected) for row in told) == 2 * dropped


def test_prompts_are_dropped_at_the_rate_that_is_asked_for(settings: Make) -> None:
    draws = Trainer(settings(prompt_dropout=0.25)).batches.draws
    share = draws.batch(range(4000)).drop_prompt.double().mean().item()
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)


@pytest.mark.two_threads
def test_the_step_has_the_gradient_of_the_mean_loss(
    settings: Make, sd_folder: Path, sd_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diffusion-DPO from the beginning: the gradient of -log sigmoid is beta / 4 times that of the error margin.

    Written out with diffusers' U-Net and the store's files, cut into micro-batches of uneven sizes.
    """
    run = settings(
        loss="uniform", beta=200.0, batch_size=7, micro_batch_size=3, prompt_dropout=0.0, max_grad_norm=NEVER
    )
    trainer = Trainer(run)
    found = gradients_at_the_step(trainer, monkeypatch)

    unet = UNet2DConditionModel.from_pretrained(sd_folder / "unet")
    drawn = trainer.batches.draws.batch(range(7))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    abar = (1 - betas).cumprod(0)[drawn.t].float().view(-1, 1, 1, 1)
    latents, pairs = rows(sd_store, "latents-*", "latents"), pairs_of(sd_store)
    embeddings = rows(sd_store, "prompt-embeddings-*", "prompt_embeds")
    drawn_pairs = [pairs[index] for index in drawn.pair_index.tolist()]
    told = torch.stack([embeddings[pair["prompt"]] for pair in drawn_pairs])

    def error(side: str) -> Tensor:
        clean = torch.stack([latents[pair[side]] for pair in drawn_pairs])
        noisy = abar.sqrt() * clean + (1 - abar).sqrt() * drawn.eps
        return (unet(noisy, drawn.t, told).sample - drawn.eps).square().mean(dim=(1, 2, 3))

    (200.0 / 4 * (error("chosen") - error("rejected"))).mean().backward()
    for name, value in unet.named_parameters():
        assert value.grad is not None
        torch.testing.assert_close(found[name], value.grad, rtol=1e-3, atol=1e-4, msg=name)
    assert norm(found) > 0.1


def test_the_rate_is_a_function_of_the_step(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(settings(lr=4e-3, warmup=4, steps=7))
    used: list[float] = []
    monkeypatch.setattr(
        trainer.optimizer, "step", lambda *_, **__: used.append(trainer.optimizer.param_groups[0]["lr"])
    )
    told = [one_step(trainer, step)["lr"] for step in range(7)]
    assert used == told == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3, 4e-3, 4e-3, 4e-3])
    assert Trainer(settings(lr=4e-3, warmup=0)).learning_rate(0) == 4e-3


def test_gradients_are_clipped_to_their_norm(settings: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    free = gradients_at_the_step(Trainer(settings(max_grad_norm=NEVER)), monkeypatch)
    clipped = gradients_at_the_step(Trainer(settings(max_grad_norm=1e-3)), monkeypatch)
    assert norm(free) > 1e-2 and norm(clipped) == pytest.approx(1e-3, rel=1e-3)
    for name, value in free.items():
        torch.testing.assert_close(clipped[name], value * (1e-3 / norm(free)), rtol=2e-3, atol=1e-12)


def test_gradients_do_not_pile_up_over_the_steps(settings: Make) -> None:
    trainer = Trainer(settings())
    one_step(trainer)
    assert all(value.grad is None for value in trainer.parameters.values())


def parameter(values: list[float], gradient: list[float]) -> nn.Parameter:
    made = nn.Parameter(torch.tensor(values))
    made.grad = torch.tensor(gradient)
    return made


def test_adamw_decays_what_has_no_gradient(settings: Make) -> None:
    """AdamW's decay is apart from the gradient: w (1 - lr * weight_decay), to the last bit of float32."""
    weight = parameter([1.0, -2.0, 3.0], [0.0, 0.0, 0.0])
    build_optimizer(settings(lr=0.1, weight_decay=0.5), [weight], torch.device("cpu")).step()
    torch.testing.assert_close(weight.data, torch.tensor([1.0, -2.0, 3.0]) * (1 - 0.1 * 0.5))


def test_adamw_begins_with_steps_of_the_rate(settings: Make) -> None:
    weight = parameter([1.0, -2.0, 3.0], [5.0, -0.01, 1e-4])
    build_optimizer(settings(lr=0.1, weight_decay=0.0), [weight], torch.device("cpu")).step()
    torch.testing.assert_close(weight.data, torch.tensor([0.9, -1.9, 2.9]), rtol=0, atol=1e-4)


def test_adafactor_steps_by_the_rate_alone(settings: Make) -> None:
    """Neither the size of the weights nor the number of steps scales it; its decay is w (1 - lr * weight_decay)."""
    run = settings(optimizer="adafactor", lr=0.1, weight_decay=0.0)
    for scale in (1.0, 100.0):
        weight = parameter([scale, -scale], [0.3, -0.3])
        build_optimizer(run, [weight], torch.device("cpu")).step()
        torch.testing.assert_close(
            weight.data - torch.tensor([scale, -scale]), torch.tensor([-0.1, 0.1]), rtol=1e-3, atol=1e-4
        )
    still = parameter([2.0, -4.0], [0.0, 0.0])
    build_optimizer(
        settings(optimizer="adafactor", lr=0.1, weight_decay=0.5), [still], torch.device("cpu")
    ).step()
    torch.testing.assert_close(still.data, torch.tensor([2.0, -4.0]) * (1 - 0.1 * 0.5))


def test_adafactor_does_not_follow_a_sudden_gradient(settings: Make) -> None:
    """Its update is clipped to a root mean square of 1, so that no step is longer than the rate."""
    weight = parameter([0.0, 0.0], [1e-3, 1e-3])
    optimizer = build_optimizer(
        settings(optimizer="adafactor", lr=0.1, weight_decay=0.0), [weight], torch.device("cpu")
    )
    optimizer.step()
    before = weight.detach().clone()
    weight.grad = torch.tensor([50.0, 50.0])
    optimizer.step()
    assert (weight - before).square().mean().sqrt().item() <= 0.1 * (1 + 1e-5)


def test_three_steps_of_the_weights_average() -> None:
    """The decay of step n is min(decay, (1 + n) / (10 + n)): 0.1, then 0.15 where 2/11 is more."""
    weight = nn.Parameter(torch.tensor([1.0]))
    average = WeightAverage({"w": weight}, decay=0.15)
    expected = 1.0
    for step, (value, decay) in enumerate([(2.0, 0.1), (4.0, 0.15), (8.0, 0.15)]):
        weight.data.fill_(value)
        average.update(step)
        expected = decay * expected + (1 - decay) * value
        assert average.values["w"].item() == pytest.approx(expected, rel=1e-6)
    slow = WeightAverage({"w": weight}, decay=0.999)
    weight.data.fill_(0.0)
    for step in range(3):
        slow.update(step)
    assert slow.values["w"].item() == pytest.approx(8 * (1 / 10) * (2 / 11) * (3 / 12), rel=1e-6)


def test_the_average_of_the_weights_is_what_is_saved(settings: Make) -> None:
    run = settings(weight_ema=0.5, steps=3, checkpoint_every=1)
    seen = []
    step = Trainer.step

    def watched(trainer: Trainer, *given: Any) -> Any:
        if not seen:
            seen.append({name: value.detach().clone() for name, value in trainer.parameters.items()})
        found = step(trainer, *given)
        seen.append({name: value.detach().clone() for name, value in trainer.parameters.items()})
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", watched)
        train(run)
    saved = load_file(Path(run.out) / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    kept = load_checkpoint(Path(run.out) / "checkpoints", torch.device("cpu"))
    assert kept is not None and kept.average is not None
    for name, value in seen[0].items():
        for weights, decay in zip(seen[1:], (1 / 10, 2 / 11, 3 / 12), strict=True):
            value = decay * value + (1 - decay) * weights[name]
        torch.testing.assert_close(saved[name], value, rtol=1e-5, atol=1e-6)
        assert torch.equal(kept.average[name], saved[name])
        assert torch.equal(kept.trainable[name], seen[-1][name])


def test_a_resumed_run_goes_on_with_the_average(settings: Make, tmp_path: Path) -> None:
    first, second = (Trainer(settings(weight_ema=0.5)) for _ in range(2))
    assert first.average is not None and second.average is not None
    begun = {name: value.clone() for name, value in first.average.values.items()}
    one_step(first)
    first.save(tmp_path / "kept", 1)
    second.resume(tmp_path / "kept")
    assert second.first_step == 1
    assert all(
        torch.equal(value, first.average.values[name]) for name, value in second.average.values.items()
    )
    assert any(not torch.equal(value, begun[name]) for name, value in second.average.values.items())
    for trainer in (first, second):
        one_step(trainer, 1)
    assert all(
        torch.equal(value, first.average.values[name]) for name, value in second.average.values.items()
    )


@pytest.mark.parametrize(("lora", "expected"), [(None, 2), (4, 1)])
def test_policy_and_reference_are_compiled_alike(
    settings: Make, monkeypatch: pytest.MonkeyPatch, lora: int | None, expected: int
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(UNet2DConditionModel, "compile_repeated_blocks", lambda unet: compiled.append(unet))
    limit = torch._dynamo.config.recompile_limit
    try:
        trainer = Trainer(settings(compile=True, lora=lora))
        assert torch._dynamo.config.recompile_limit >= 2 * 8
    finally:
        torch._dynamo.config.recompile_limit = limit
    assert [id(unet) for unet in compiled] == list(
        dict.fromkeys([id(trainer.model.unet), id(trainer.reference.unet)])
    )
    assert len(compiled) == expected
