"""Timestep samplers: masses, exactness of the inverse, and segments."""

from __future__ import annotations

import math

import pytest
import torch

from ddecli.core.errors import UserError
from ddecli.core.segments import parse_segment
from ddecli.diffusion.timesteps import TimestepSampler, segment_indices

MASS_FROM = {950: 0.232, 940: 0.272, 900: 0.412, 800: 0.655, 600: 0.883, 500: 0.933}


def grid(size: int) -> torch.Tensor:
    return (torch.arange(size, dtype=torch.float64) + 0.5) / size


def test_discounted_masses() -> None:
    probabilities = TimestepSampler.discounted(1000).probabilities
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-12)
    for start, mass in MASS_FROM.items():
        assert float(probabilities[start:].sum()) == pytest.approx(mass, abs=5e-4)
    assert float(probabilities.max() / probabilities.mean()) == pytest.approx(5.03, abs=5e-3)

    drawn = TimestepSampler.discounted(1000)(grid(100_000))
    for start, mass in MASS_FROM.items():
        assert float((drawn >= start).double().mean()) == pytest.approx(mass, abs=5e-4)


@pytest.mark.parametrize(("T", "gamma", "K"), [(1000, 0.9, 50), (10, 0.7, 3), (30, 0.9, 7), (50, 0.5, 50)])
def test_discounted_weights_by_a_slow_loop(T: int, gamma: float, K: int) -> None:
    weights = [gamma ** (((T - 1 - t) * K) // T) for t in range(T)]
    expected = torch.tensor([weight / math.fsum(weights) for weight in weights], dtype=torch.float64)
    probabilities = TimestepSampler.discounted(T, gamma, K).probabilities
    torch.testing.assert_close(probabilities, expected, rtol=1e-12, atol=0)
    assert len(set(weights)) == K  # every one of the K reverse steps occurs


def test_one_reverse_step_discounts_nothing() -> None:
    one = TimestepSampler.discounted(10, gamma=0.5, K=1)
    assert torch.equal(one.probabilities, TimestepSampler.uniform(10).probabilities)


@pytest.mark.parametrize("segment", [None, (0.3, 0.4), (0.0, 0.1), (0.29, 0.58)])
def test_draws_on_a_grid_count_out_the_probabilities(segment: tuple[float, float] | None) -> None:
    for sampler in (TimestepSampler.uniform(100, segment), TimestepSampler.discounted(100, segment=segment)):
        counts = sampler(grid(50_000)).bincount(minlength=100).double()
        assert (counts - 50_000 * sampler.probabilities).abs().max() <= 1.001
        assert (counts[sampler.probabilities == 0] == 0).all()


def test_uniform_is_the_floor_of_u_times_T() -> None:
    sampler = TimestepSampler.uniform(1000)
    edges = (
        torch.arange(1000, dtype=torch.float64) / 1000
    )  # u exactly where one timestep ends, the next begins
    assert torch.equal(sampler(edges), torch.arange(1000))
    u = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(sampler(u), (u * 1000).floor().long())


def test_the_ends_of_the_unit_interval_stay_inside_the_segment() -> None:
    u = torch.tensor([0.0, 1 - 2.0**-53], dtype=torch.float64)
    for make in (TimestepSampler.uniform, TimestepSampler.discounted):
        assert make(1000, segment=(0.3, 0.4))(u).tolist() == [300, 399]
        assert make(1000)(u).tolist() == [0, 999]
    for bad in (1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"u must lie in \[0, 1\)"):
            TimestepSampler.uniform(10)(torch.tensor([0.5, bad], dtype=torch.float64))


def test_discounted_within_a_segment_is_renormalised() -> None:
    whole = TimestepSampler.discounted(1000).probabilities
    part = TimestepSampler.discounted(1000, segment=(0.2, 0.7)).probabilities
    torch.testing.assert_close(part[200:700], whole[200:700] / whole[200:700].sum(), rtol=1e-12, atol=0)
    assert float(part[:200].sum() + part[700:].sum()) == 0


@pytest.mark.parametrize(
    ("text", "T", "first", "last"),
    [
        ("0-0.1", 1000, 0, 99),
        ("0.3-0.4", 1000, 300, 399),
        ("0.9-1.0", 1000, 900, 999),
        ("0-1", 1000, 0, 999),
        ("0.07-0.14", 1000, 70, 139),  # 0.07 * 1000 is 70.00000000000001 in binary
        ("0.29-0.57", 100, 29, 56),  # 0.29 * 100 is 28.999999999999996
        ("0.3-0.4", 7, 2, 2),  # 2.1 .. 2.8: one timestep is left
        ("0.25-0.5", 10, 2, 4),  # floor(2.5) .. ceil(5) - 1
        ("0.0001-0.0002", 1000, 0, 0),  # never empty
    ],
)
def test_segment_indices(text: str, T: int, first: int, last: int) -> None:
    indices = segment_indices(parse_segment(text), T)
    assert (indices[0], indices[-1]) == (first, last)


def test_tenths_tile_the_trajectory() -> None:
    tenths = [segment_indices(parse_segment(f"{i / 10}-{(i + 1) / 10}"), 1000) for i in range(10)]
    assert [t for tenth in tenths for t in tenth] == list(range(1000))


@pytest.mark.parametrize(
    "text", ["", "0.3", "0.4-0.3", "0.3-0.3", "-0.1-0.2", "0-1.1", "a-b", "nan-1", "0.1-0.2-0.3", "0,1-0,2"]
)
def test_nonsense_segments_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="two fractions"):
        parse_segment(text)


def test_nonsense_discounts_are_refused() -> None:
    for gamma in (0, 1.1, math.nan):
        with pytest.raises(UserError, match="gamma"):
            TimestepSampler.discounted(10, gamma)
    with pytest.raises(UserError, match="reverse steps"):
        TimestepSampler.discounted(10, K=0)
