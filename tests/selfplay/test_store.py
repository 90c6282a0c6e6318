"""Pairs of self-play: the winners are the data's, the losers what a stock pipeline draws from noise of their own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_checks import contents
from diffusers import DDIMScheduler, StableDiffusionPipeline

from ddecli.core.errors import UserError
from ddecli.core.protocol import image_seed, prompt_id
from ddecli.data.store import PairStore
from ddecli.models.base import DiffusionModel
from ddecli.models.load import load_for_sampling
from ddecli.selfplay import store as of_store
from ddecli.selfplay.store import Opponent, SelfPlayStore

OPPONENT = Opponent(seed=3, iteration=2, pairs=6, batch_size=2)


@pytest.fixture(scope="module")
def model(sd_folder: Path) -> DiffusionModel:
    return load_for_sampling(str(sd_folder), "cpu", torch.float32)


@pytest.fixture
def winners(sd_store: Path) -> PairStore:
    return PairStore.open(sd_store)


def made(winners: PairStore, model: DiffusionModel, out: Path, opponent: Opponent = OPPONENT) -> PairStore:
    store = SelfPlayStore(winners, model, opponent, out)
    store.begin()
    store.draw()
    store.join()
    assert store.is_made()
    return PairStore.open(out, model.fingerprints)


def test_winners_and_prompts_are_those_of_the_data(
    winners: PairStore, model: DiffusionModel, tmp_path: Path
) -> None:
    found = made(winners, model, tmp_path / "pairs")
    assert len(found) == 6
    by_id = {winners.pair(row).pair_id: row for row in range(len(winners))}
    seen = set()
    for row in range(len(found)):
        pair = found.pair(row)
        source = by_id[pair.pair_id]
        whole = winners.pair(source)
        assert (pair.prompt, pair.chosen_sha256) == (whole.prompt, whole.chosen_sha256)
        seen.add((pair.prompt, pair.chosen_sha256))
        at, of = torch.tensor([row]), torch.tensor([source])
        for mine, data in (
            (found.latents(found.chosen_index[at]), winners.latents(winners.chosen_index[of])),
            (found.sizes(found.chosen_index[at]), winners.sizes(winners.chosen_index[of])),
            (
                found.conditioning(found.prompt_index[at])["prompt_embeds"],
                winners.conditioning(winners.prompt_index[of])["prompt_embeds"],
            ),
        ):
            assert torch.equal(mine, data)
    assert len(seen) == 6  # every winner once
    empty, of_data = (torch.tensor([each.empty_prompt_index]) for each in (found, winners))
    assert found.prompt(int(empty)) == ""
    mine, data = found.conditioning(empty), winners.conditioning(of_data)
    assert torch.equal(mine["prompt_embeds"], data["prompt_embeds"])
    assert torch.equal(found.sizes(found.rejected_index), found.target_sizes(6))


def test_losers_are_what_a_stock_pipeline_draws(
    winners: PairStore, model: DiffusionModel, sd_folder: Path, tmp_path: Path
) -> None:
    found = made(winners, model, tmp_path / "pairs")
    plan = found.manifest["self_play"]
    stock = StableDiffusionPipeline.from_pretrained(sd_folder, safety_checker=None)
    stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config, clip_sample=False)
    numbers: Counter[str] = Counter()
    for row in range(len(found)):
        prompt = found.prompt(int(found.prompt_index[row]))
        seed = image_seed(prompt, numbers[prompt], "self-play 3, iteration 2")
        numbers[prompt] += 1
        drawn = stock(
            prompt,
            generator=torch.Generator().manual_seed(seed),
            num_inference_steps=plan["steps"],
            guidance_scale=plan["guidance_scale"],
            output_type="latent",
        ).images
        loser = found.latents(found.rejected_index[row : row + 1])
        assert torch.allclose(loser, drawn, rtol=1e-3, atol=1e-3)
    assert max(numbers.values()) > 1  # two winners of one prompt have two losers


def test_noise_is_that_of_no_sample_and_of_no_other_iteration() -> None:
    others = [OPPONENT.noise, Opponent(3, 1, 6).noise, Opponent(4, 2, 6).noise, *range(2000)]
    assert len({image_seed("a", 0, noise) for noise in others}) == len(others)
    assert prompt_id("a") != prompt_id("b")


def test_pairs_are_drawn_anew_in_every_iteration(
    winners: PairStore, model: DiffusionModel, tmp_path: Path
) -> None:
    ids = []
    for iteration in (1, 2):
        opponent = Opponent(seed=3, iteration=iteration, pairs=6)
        found = made(winners, model, tmp_path / f"pairs-{iteration}", opponent)
        ids.append([found.pair(row).pair_id for row in range(6)])
    assert ids[0] != ids[1]
    whole = made(winners, model, tmp_path / "all", Opponent(3, 1, 10_000))
    keys = zip(winners.prompt_index.tolist(), winners.chosen_index.tolist(), strict=True)
    assert len(whole) == len(set(keys))


@pytest.mark.two_threads
def test_a_stopped_or_shared_store_is_the_same_store(
    winners: PairStore, model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(winners, model, tmp_path / "whole")
    generate = of_store.generate_latents
    drawn: list[int] = []

    def stop_at_third(*given: object) -> torch.Tensor:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(1)
        return generate(*given)  # type: ignore[arg-type]

    stopped = SelfPlayStore(winners, model, OPPONENT, tmp_path / "stopped")
    stopped.begin()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(of_store, "generate_latents", stop_at_third)
        stopped.draw()
    assert not stopped.is_made()
    shared = SelfPlayStore(winners, model, OPPONENT, tmp_path / "shared")
    shared.begin()
    shared.draw((2, 2))
    shared.draw((1, 2))
    for store in (stopped, shared):
        store.begin()
        with monkeypatch.context() as patch:
            count: list[int] = []
            patch.setattr(
                of_store,
                "generate_latents",
                lambda *given, count=count: (count.append(1), generate(*given))[1],
            )
            store.draw()
        assert len(count) == (1 if store is stopped else 0)  # of three batches
        store.join()
        assert contents(store.out) == contents(tmp_path / "whole")
        assert not store.work.exists()


def test_a_store_of_another_plan_is_made_again(
    winners: PairStore, model: DiffusionModel, sd_store: Path, tmp_path: Path
) -> None:
    made(winners, model, tmp_path / "pairs")
    other = SelfPlayStore(winners, model, Opponent(3, 3, 6), tmp_path / "pairs")
    assert not other.is_made()
    other.begin()
    other.draw()
    other.join()
    assert other.is_made()
    with pytest.raises(UserError, match="is no pair store of self-play"):
        SelfPlayStore(winners, model, OPPONENT, sd_store).is_made()
    parts = tmp_path / "new.parts"
    parts.mkdir()
    (parts / "000000000.safetensors").write_bytes(b"of another plan")
    made(winners, model, tmp_path / "new")


def test_latents_that_are_not_finite_are_refused(
    winners: PairStore, model: DiffusionModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model.unet.conv_out, "bias", torch.nn.Parameter(torch.full((4,), np.nan)))
    store = SelfPlayStore(winners, model, OPPONENT, tmp_path / "pairs")
    store.begin()
    with pytest.raises(UserError, match="not finite"):
        store.draw()
    assert not list(store.work.glob("*.safetensors")) and not (tmp_path / "pairs").exists()
