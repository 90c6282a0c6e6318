"""Draws are pure functions of the seed and their number, and have the distributions they claim."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ddecli.data.draws import Draws

SHAPE = (4, 8, 8)


def by_thousand(u: torch.Tensor) -> torch.Tensor:
    return (u * 1000).long()


def draws(num_pairs: int = 10, seed: int = 0, **options: object) -> Draws:
    return Draws(num_pairs, seed, by_thousand, **({"latent_shape": SHAPE} | options))  # type: ignore[arg-type]


def equal(a: object, b: object) -> bool:
    return all(torch.equal(vars(a)[name], vars(b)[name]) for name in vars(a))


def test_a_draw_is_a_pure_function_of_its_number() -> None:
    whole = draws().batch(range(40))
    other = draws()
    other.batch(range(1000, 1003))  # what was drawn before does not matter
    for number in (39, 0, 17):
        alone = other.batch([number])
        for name, values in vars(whole).items():
            assert torch.equal(values[number : number + 1], vars(alone)[name])


@pytest.mark.parametrize("sizes", [(1,) * 24, (8, 16), (24,)])
def test_batching_changes_nothing(sizes: tuple[int, ...]) -> None:
    whole = draws().batch(range(24))
    starts = np.cumsum((0, *sizes))
    one_run = draws()
    parts = [one_run.batch(range(a, b)) for a, b in itertools.pairwise(starts.tolist())]
    joined = {name: torch.cat([vars(part)[name] for part in parts]) for name in vars(whole)}
    assert all(torch.equal(joined[name], value) for name, value in vars(whole).items())


def test_seeds_differ_and_the_same_seed_repeats() -> None:
    assert equal(draws(seed=1).batch(range(8)), draws(seed=1).batch(range(8)))
    a, b = draws(seed=1).batch(range(8)), draws(seed=2).batch(range(8))
    assert not torch.equal(a.t, b.t)
    assert not torch.equal(a.eps, b.eps)


def test_sampler_and_prompt_drop_leave_pair_and_noise_alone() -> None:
    a = draws(drop_prompt=0.0).batch(range(50))
    b = Draws(10, 0, lambda u: (u * 10).long(), SHAPE, drop_prompt=0.5).batch(range(50))
    assert torch.equal(a.pair_index, b.pair_index)
    assert torch.equal(a.eps, b.eps)
    assert torch.equal(a.t // 100, b.t)
    assert not a.drop_prompt.any()
    assert b.drop_prompt.any()


@pytest.mark.parametrize("num_pairs", [1, 7, 100])
def test_each_epoch_visits_each_pair_once(num_pairs: int) -> None:
    all_draws = draws(num_pairs, latent_shape=(1, 1, 1))
    epochs = [all_draws.batch(range(e * num_pairs, (e + 1) * num_pairs)).pair_index for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch.tolist()) == list(range(num_pairs))
    if num_pairs == 100:
        assert not torch.equal(epochs[0], epochs[1])


def test_distributions() -> None:
    count = 4000
    batch = Draws(1, 3, lambda u: (u * 2**40).long(), (1, 2, 2), drop_prompt=0.2).batch(range(count))
    u = (batch.t.double() / 2**40).numpy()
    from scipy import stats

    assert stats.kstest(u, "uniform").pvalue > 0.001
    assert stats.kstest(batch.eps.flatten().numpy(), "norm").pvalue > 0.001
    assert stats.binomtest(int(batch.drop_prompt.sum()), count, 0.2).pvalue > 0.001


def test_streams_and_neighbours_are_uncorrelated() -> None:
    count = 4000
    batch = Draws(count, 5, by_thousand, (1, 1, 3), drop_prompt=0.5).batch(range(count))
    eps = batch.eps.view(count, 3)
    columns = [batch.pair_index, batch.t, batch.drop_prompt, *eps.T]
    now = torch.stack([column.double() for column in columns])
    following = now.roll(-1, dims=1)
    correlation = torch.corrcoef(torch.cat([now, following])).abs()
    correlation.fill_diagonal_(0)
    assert correlation.max() < 4.5 / count**0.5


def test_shapes_and_types() -> None:
    batch = draws(drop_prompt=1.0).batch(range(5))
    assert batch.eps.shape == (5, *SHAPE)
    assert batch.eps.dtype == torch.float32
    assert batch.pair_index.dtype == batch.t.dtype == torch.int64
    assert batch.drop_prompt.all()


def test_an_empty_store_has_no_draws() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        draws(num_pairs=0)
