"""Figures of runs: corrections, credit, curves, log-sigmoid, coefficients; in numbers and as drawn."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from run_folders import TIMESTEPS, write_run

from ddecli.core.errors import UserError
from ddecli.diffusion.timesteps import TimestepSampler
from ddecli.figures import coefficients, corrections, credit, credit_steps, curves, log_sigmoid
from ddecli.figures.save import plain
from ddecli.figures.style import COLOURS
from ddecli.models.schedulers import load_schedule
from ddecli.objectives.registry import loss_weights
from ddecli.stats.runs import Credit, load_credit

STEPS, BINS = 40, 50


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind: uniform and discounted with a constant weight, dde with two seeds, sft."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    ones, even = np.ones((STEPS, BINS)), np.full((STEPS, BINS), 160.0)
    share = TimestepSampler.discounted(TIMESTEPS).probabilities.numpy().reshape(BINS, -1).sum(1)
    uneven = np.round(even.sum(1, keepdims=True) * share)
    uneven[:, 0] = 0

    def metrics(mean=0.1):
        return {
            "loss": rng.uniform(0.5, 0.7, STEPS),
            "implicit_accuracy": rng.uniform(0.5, 0.7, STEPS),
            "margin": rng.normal(-1e-3, 1e-3, STEPS),
            "gradient_norm": rng.uniform(1, 10, STEPS),
            "logit": rng.normal(mean, 0.1, STEPS),
            "logit_std": rng.uniform(1, 2, STEPS),
        }

    growing = np.linspace(0, 1, STEPS)[:, None] * np.linspace(-1e-3, 0, BINS)
    return {
        "uniform": write_run(root / "uniform", 5 * ones, even, **metrics()),
        "discounted": write_run(root / "discounted", 5 * ones, uneven, **metrics()),
        "dde-0": write_run(
            root / "dde-0", ones * np.linspace(1, 99, BINS), even, growing, **metrics(0.0)
        ),
        "dde-1": write_run(
            root / "dde-1", ones * np.linspace(1, 99, BINS) ** 2, even, 3 * growing, **metrics(2.0)
        ),
        "sft": write_run(
            root / "sft", ones, even, **metrics() | dict.fromkeys(
                ("implicit_accuracy", "margin", "logit", "logit_std"), np.full(STEPS, np.nan)
            )
        ),
        "short": write_run(root / "short", ones[:3], even[:3], growing[:3], **metrics()),
    }  # fmt: skip


@pytest.fixture(scope="module")
def dde(runs):
    return {"DDE": [runs["dde-0"], runs["dde-1"]]}


def test_credit_is_weight_times_visits(runs, dde):
    found = credit.numbers({"Uni": [runs["uniform"]], "Disc": [runs["discounted"]]} | dde)
    # The weight of a visit is the same everywhere for both; only how often t is drawn differs.
    np.testing.assert_allclose(found["weight"]["Uni"]["mean"], 1)
    np.testing.assert_allclose(found["weight"]["Disc"]["mean"][1:], 1)
    assert np.isnan(found["weight"]["Disc"]["mean"][0])  # never visited
    np.testing.assert_allclose(found["total_share"]["Uni"]["seeds"], [[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(found["total_share"]["Disc"]["mean"], found["visit_share"]["Disc"]["mean"])
    assert found["visit_share"]["Disc"]["mean"][2] == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose(found["weight_share"]["Disc"]["mean"], [9 / 49, 25 / 49, 15 / 49])

    first, second = np.linspace(1, 99, BINS), np.linspace(1, 99, BINS) ** 2
    for seed, weight in zip(found["weight"]["DDE"]["seeds"], (first, second), strict=True):
        np.testing.assert_allclose(seed, weight / weight.mean())
    np.testing.assert_allclose(found["weight"]["DDE"]["mean"], (first / 50 + second / second.mean()) / 2)
    shares = [[each[:10].sum(), each[10:35].sum(), each[35:].sum()] / each.sum() for each in (first, second)]
    np.testing.assert_allclose(found["total_share"]["DDE"]["seeds"], shares)
    np.testing.assert_allclose(found["total_share"]["DDE"]["mean"], np.mean(shares, axis=0))


def test_credit_as_drawn(runs, dde):
    found = plain(credit.numbers({"Uni": [runs["uniform"]], "Disc": [runs["discounted"]]} | dde))
    left, right = credit.draw(found).axes
    assert [line.get_color() for line in left.lines] == [
        COLOURS[name] for name in ("uniform", "discounted", "dde")
    ]
    np.testing.assert_allclose(left.lines[2].get_xdata(), np.arange(0.01, 1, 0.02))
    np.testing.assert_allclose(left.lines[2].get_ydata(), found["weight"]["DDE"]["mean"])
    widths = np.array([bar.get_width() for bar in right.patches]).reshape(3, 3)
    np.testing.assert_allclose(
        widths, [100 * np.array(share["mean"]) for share in found["total_share"].values()]
    )


def test_credit_of_runs_that_visited_few_timesteps(tmp_path):
    """No bin was visited by both seeds: each bin has the weight of the one that did."""
    counts = np.zeros((2, 1, BINS))
    counts[0, 0, [3, 10]], counts[1, 0, [7, 30]] = 4.0, 4.0
    folders = [write_run(tmp_path / str(seed), np.full((1, BINS), 2.0), counts[seed]) for seed in range(2)]
    found = credit.numbers({"DDE": folders})
    visited = np.isfinite(found["weight"]["DDE"]["mean"])
    assert visited.nonzero()[0].tolist() == [3, 7, 10, 30]
    np.testing.assert_allclose(found["weight"]["DDE"]["mean"][visited], 1)
    left = credit.draw(plain(found)).axes[0]
    left.figure.canvas.draw()
    assert left.get_yscale() == "log"


def test_gradients_that_are_all_zero_have_no_logarithm(tmp_path):
    counts = np.full((2, BINS), 4.0)
    folder = write_run(tmp_path / "still", counts, counts, gradient_norm=np.zeros(2))
    curves.draw(plain(curves.numbers({"a": [folder]}))).canvas.draw()


def test_corrections_by_timestep_and_over_training(dde):
    found = corrections.numbers(dde)
    final = np.linspace(-1e-3, 0, BINS)
    np.testing.assert_allclose(found["t"], np.arange(BINS) / BINS)
    np.testing.assert_allclose(found["final"]["DDE"]["seeds"], [final, 3 * final])
    np.testing.assert_allclose(found["final"]["DDE"]["mean"], 2 * final)
    convergence = found["convergence"]["DDE"]
    assert list(convergence["step"]) == list(range(1, STEPS + 1))
    assert list(convergence["places"]) == ["0", "0.25", "0.5", "0.75"]
    growth = np.linspace(0, 1, STEPS)
    for name, bins in (("0", slice(0, 3)), ("0.25", slice(13, 16)), ("0.5", slice(25, 28))):
        place = convergence["places"][name]
        np.testing.assert_allclose(place["mean"], 2 * growth * final[bins].mean())
        np.testing.assert_allclose(place["seeds"][1], 3 * growth * final[bins].mean())

    left, right = corrections.draw(plain(found)).axes
    assert len(left.lines) == 4  # two seeds, their mean, zero
    np.testing.assert_allclose(left.lines[2].get_ydata(), 2 * final)
    assert len(right.lines) == 4 * 3 + 1  # two seeds and their mean at each place, zero
    np.testing.assert_allclose(right.lines[1].get_ydata(), convergence["places"]["0"]["seeds"][1])


def test_runs_without_corrections_are_refused(runs):
    with pytest.raises(UserError, match="uniform has no correction terms: only runs of dde"):
        corrections.numbers({"Uni": [runs["uniform"]]})


def test_curves_are_running_means_over_seeds(runs, dde):
    found = curves.numbers(dde | {"SFT": [runs["sft"]]})["curves"]
    lines = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in dde["DDE"]
    ]
    margins = np.array([[line["margin"] for line in run] for run in lines])
    assert found["DDE"]["window"] == 3
    np.testing.assert_array_equal(found["DDE"]["margin"]["seeds"], margins)
    slow = [margins[:, max(0, step - 1) : step + 2].mean() for step in range(STEPS)]
    np.testing.assert_allclose(found["DDE"]["margin"]["mean"][1:-1], slow[1:-1])
    np.testing.assert_allclose(found["DDE"]["margin"]["mean"][[0, -1]], [slow[0], slow[-1]])
    assert found["SFT"]["margin"] is found["SFT"]["implicit_accuracy"] is None
    assert found["SFT"]["loss"] is not None


def test_curves_as_drawn(runs, dde):
    found = plain(curves.numbers(dde | {"SFT": [runs["sft"]]}))
    loss, accuracy, _, norm = curves.draw(found).axes
    assert len(loss.lines) == 3 + 2  # seeds thin, means thick
    thick = [line for line in accuracy.lines if line.get_linewidth() > 1]
    np.testing.assert_allclose(thick[0].get_ydata(), found["curves"]["DDE"]["implicit_accuracy"]["mean"])
    assert norm.get_yscale() == "log"


def test_the_last_line_of_a_run_that_goes_on_may_be_half(runs, tmp_path):
    (tmp_path / "run").mkdir()
    text = (runs["uniform"] / "metrics.jsonl").read_text()
    (tmp_path / "run" / "metrics.jsonl").write_text(text[:-20])
    assert len(curves.numbers({"Uni": [tmp_path / "run"]})["curves"]["Uni"]["step"]) == STEPS - 1
    (tmp_path / "run" / "metrics.jsonl").write_text("nothing\n" + text)
    with pytest.raises(UserError, match="no record of training steps"):
        curves.numbers({"Uni": [tmp_path / "run"]})


def test_log_sigmoid_is_the_loss_and_its_gradient():
    found = log_sigmoid.numbers({})
    z = torch.tensor(found["z"], requires_grad=True)
    loss = -torch.nn.functional.logsigmoid(z)
    loss.sum().backward()
    np.testing.assert_allclose(found["loss"], loss.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(found["gradient"], -z.grad.numpy(), rtol=1e-12)
    saturated = torch.tensor(-found["saturated_from_z"], dtype=torch.float64).sigmoid()
    assert float(saturated) == pytest.approx(found["saturated_below_gradient"])
    (axis,) = log_sigmoid.draw(plain(found)).axes
    assert axis.get_xlim() == (-6, 8)


def test_logits_of_all_seeds_are_pooled(runs, dde):
    found = log_sigmoid.numbers(dde | {"Uni": [runs["uniform"]]})
    dde_logits = found["logits"]["DDE"]
    assert dde_logits["last_steps"] == 4
    moments = [
        (line["logit"], line["logit_std"])
        for run in dde["DDE"]
        for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()[-4:])
    ]
    pairs = np.concatenate([[mean - std, mean + std] for mean, std in moments])  # two pairs a step
    assert dde_logits["mean"] == pytest.approx(pairs.mean())
    assert dde_logits["std"] == pytest.approx(pairs.std())
    first = [pairs[:8].mean(), pairs[:8].std()]
    assert [dde_logits["seeds"][0][name] for name in ("mean", "std")] == pytest.approx(first)

    top, bottom = log_sigmoid.draw(plain(found)).axes
    bar = bottom.collections[0].get_segments()[0]
    np.testing.assert_allclose(bar[:, 0], [pairs.mean() - pairs.std(), pairs.mean() + pairs.std()])
    dots = bottom.lines[0]  # of both seeds; the other label has one
    np.testing.assert_allclose(dots.get_xdata(), [seed["mean"] for seed in dde_logits["seeds"]])
    assert [line.get_markersize() for line in bottom.lines].count(2.0) == 1
    assert top.get_xlim() == bottom.get_xlim()
    assert [text.get_text() for text in bottom.get_yticklabels()] == ["DDE", "Uni"]


def test_runs_without_logits_are_refused(runs):
    with pytest.raises(UserError, match="sft has no logits"):
        log_sigmoid.numbers({"SFT": [runs["sft"]]})


def parts_of_one(low: float, high: float) -> np.ndarray:
    """A weight `(STEPS, BINS)`: all of it near the image at first, between `low` and `high` from step 20 on."""
    middles = (np.arange(BINS) + 0.5) / BINS
    inside = (low <= middles) & (middles < high)
    weight = np.where(middles < 0.2, 1.0, 0.0)[None].repeat(STEPS, 0)
    weight[20:] = np.where(inside, 1.0, 0.0)
    return weight


def test_credit_over_training_by_the_norm_of_gradients(tmp_path):
    even, ones = np.full((STEPS, BINS), 4.0), np.ones((STEPS, BINS))
    sigmoid = np.linspace(0.5, 0.1, STEPS)[:, None] * ones
    weight, pull = parts_of_one(0.2, 0.7), np.where(np.arange(BINS) < 10, 1.0, 2.0)
    folders = [
        write_run(tmp_path / str(seed), weight, even, sigmoid=sigmoid, norm=(1 + seed) * pull * weight)
        for seed in range(2)
    ]
    found = credit_steps.numbers({"beta 20": folders})
    curve = found["steps"]["beta 20"]
    assert (found["by"], curve["window"]) == ("norm", 5)
    share = curve["share"]["mean"]
    assert share.shape == (3, STEPS)
    np.testing.assert_allclose(share[:, :18].T, [[1, 0, 0]] * 18, atol=1e-12)
    np.testing.assert_allclose(share[:, 22:].T, [[0, 1, 0]] * 18, atol=1e-12)
    # Steps 18 to 22 around the step 20: two of 10 bins near the image, then three of 25 bins in the middle.
    assert share[1, 20] == pytest.approx(2 * 3 * 25 / (2 * 10 + 2 * 3 * 25))
    np.testing.assert_allclose(curve["sigmoid_factor"]["mean"][2:-2], sigmoid[2:-2, 0])
    np.testing.assert_allclose(curve["sigmoid_factor"]["mean"][0], sigmoid[:3, 0].mean())
    by_weight = credit_steps.numbers({"beta 20": folders}, "weight")
    assert by_weight["steps"]["beta 20"]["share"]["mean"][1, 20] == pytest.approx(3 * 25 / (2 * 10 + 3 * 25))


def test_credit_over_training_by_weight_where_norms_were_not_measured(runs, dde, tmp_path):
    found = credit_steps.numbers({"Uni": [runs["uniform"]]} | dde)
    assert found["by"] == "weight"
    assert found["steps"]["DDE"]["sigmoid_factor"] is None
    weight = np.linspace(1, 99, BINS)
    share = np.array([weight[:10].sum(), weight[10:35].sum(), weight[35:].sum()]) / weight.sum()
    np.testing.assert_allclose(found["steps"]["DDE"]["share"]["seeds"][0], share[:, None].repeat(STEPS, 1))
    with pytest.raises(
        UserError, match=r"uniform did not measure norms.*--credit-gradients, or give --by weight"
    ):
        credit_steps.numbers({"Uni": [runs["uniform"]]}, "norm")
    with pytest.raises(UserError, match="The figure needs runs"):
        credit_steps.numbers({})


def test_settings_of_a_method_have_its_colour_and_a_line_each(tmp_path):
    ones = np.ones((STEPS, BINS))
    labels = ("Uni beta 20", "Uni beta 320", "DDE beta 20", "DDE beta 320", "another")
    runs = {
        label: [write_run(tmp_path / label, ones, ones, sigmoid=0.4 * ones, norm=ones)] for label in labels
    }
    lines = credit_steps.draw(plain(credit_steps.numbers(runs))).axes[0].lines
    assert [line.get_color() for line in lines[:4]] == [COLOURS["uniform"]] * 2 + [COLOURS["dde"]] * 2
    assert [line.get_linestyle() for line in lines] == ["-", "--", "-", "--", "-"]
    assert lines[4].get_color() not in COLOURS.values()


def test_credit_over_training_as_drawn(tmp_path, dde):
    even, ones = np.full((STEPS, BINS), 4.0), np.ones((STEPS, BINS))
    folder = write_run(
        tmp_path / "a", parts_of_one(0.7, 1.0), even, sigmoid=0.4 * ones, norm=parts_of_one(0.7, 1.0)
    )
    still = write_run(tmp_path / "b", ones, even, sigmoid=0.2 * ones, norm=ones)
    found = plain(credit_steps.numbers({"beta 20": [folder], "beta 80": [still]}))
    figure = credit_steps.draw(found)
    figure.canvas.draw()
    clean, middle, noise, factor = figure.axes
    np.testing.assert_allclose(
        clean.lines[0].get_ydata(), 100 * np.array(found["steps"]["beta 20"]["share"]["mean"][0])
    )
    assert noise.lines[0].get_ydata()[-1] == pytest.approx(100)
    np.testing.assert_allclose(factor.lines[1].get_ydata(), 0.2)
    assert clean.lines[0].get_color() == middle.lines[0].get_color() != clean.lines[1].get_color()
    seeds = credit_steps.draw(plain(credit_steps.numbers(dde)))
    assert [len(axis.lines) for axis in seeds.axes] == [
        3,
        3,
        3,
    ]  # two thin ones and their mean; no sigmoid factor


def test_shares_of_the_gradient_norm_stand_beside_those_of_the_weight(tmp_path, runs):
    even, ones = np.full((STEPS, BINS), 4.0), np.ones((STEPS, BINS))
    pull = np.repeat([1.0, 2.0, 4.0], [10, 25, 15])
    folder = write_run(tmp_path / "run", ones, even, norm=ones * pull)
    found = credit.numbers({"DDE": [folder]})
    np.testing.assert_allclose(found["norm_share"]["DDE"]["mean"], [10 / 120, 50 / 120, 60 / 120])
    np.testing.assert_allclose(found["total_share"]["DDE"]["mean"], [0.2, 0.5, 0.3])
    bars = credit.draw(plain(found)).axes[2]
    np.testing.assert_allclose([bar.get_width() for bar in bars.patches], [100 / 12, 500 / 12, 50])
    assert credit.numbers({"DDE": [folder], "Uni": [runs["uniform"]]})["norm_share"] is None


def test_what_a_credit_map_holds_is_read(tmp_path, runs):
    count, sigmoid, norm = np.full((2, BINS), 4.0), np.full((2, BINS), 0.3), np.full((2, BINS), 7.0)
    found = load_credit(write_run(tmp_path / "run", count, count, sigmoid=sigmoid, norm=norm))
    np.testing.assert_allclose(found.sigmoid_sum, 1.2)
    np.testing.assert_allclose(found.sigmoid_square, 0.36)
    np.testing.assert_allclose(found.norm_sum, 28)
    np.testing.assert_allclose(found.norm_weight, 16)
    np.testing.assert_allclose(found.norms, 28)
    earlier = load_credit(runs["uniform"])  # which holds none of it
    assert earlier.sigmoid_sum is earlier.norm_sum is earlier.norm_weight is earlier.norms is None


def test_norms_of_all_pairs_from_those_that_were_measured():
    """Against pairs one by one, whose norm is weight times a pull that is the same in a tenth of the trajectory."""
    rng = np.random.default_rng(0)
    bins, weight = rng.integers(BINS, size=4000), rng.exponential(size=4000)
    step, is_measured = rng.integers(3, size=4000), np.arange(4000) % 16 == 0
    norm = weight * (1 + bins // 5)

    def sums(values, of=slice(None)):
        found = np.zeros((3, BINS))
        np.add.at(found, (step[of], bins[of]), values[of])
        return found

    edges = np.linspace(0, 1, BINS + 1)
    measured = sums(norm, is_measured), sums(weight, is_measured)
    credit = Credit("run", edges, sums(weight), sums(np.ones(4000)), None, None, *measured)
    np.testing.assert_allclose(credit.norms, sums(norm))
    gap = np.where((edges[:-1] >= 0.3 - 1e-9) & (edges[:-1] < 0.4 - 1e-9), 0.0, 1.0)
    assert replace(credit, norm_sum=gap * measured[0], norm_weight=gap * measured[1]).norms is None
    trained = replace(credit, weight_sum=gap * credit.weight_sum)  # a part that has no credit needs no norm
    np.testing.assert_allclose(
        replace(trained, norm_sum=gap * measured[0], norm_weight=gap * measured[1]).norms, gap * sums(norm)
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sigmoid_sum": np.full((2, BINS), 4.1)}, "no number of visits or weight"),
        ({"sigmoid_sum": np.full((2, BINS), np.nan)}, "no number of visits or weight"),
        ({"sigmoid_square_sum": None}, "sigmoids without their squares"),
        ({"sigmoid_square_sum": np.full((2, BINS), 2.1)}, "no number of visits or weight"),
        ({"sigmoid_sum": np.ones((2, 3))}, "do not fit together"),
        ({"gradient_norm_sum": -np.ones((2, BINS))}, "no number of visits or weight"),
        ({"gradient_norm_weight_sum": None}, "without the weights of their pairs"),
    ],
)
def test_damaged_credit_maps(tmp_path, changed, said):
    count = np.full((2, BINS), 4.0)
    file = write_run(tmp_path / "run", count, count, sigmoid=count / 8, norm=count) / "credit.npz"
    with np.load(file) as arrays:
        held = {name: arrays[name] for name in arrays.files} | changed
    np.savez(file, **{name: value for name, value in held.items() if value is not None})
    with pytest.raises(UserError, match=rf"credit.npz is no credit map.*{said}"):
        load_credit(file.parent)


@pytest.mark.parametrize("figure", [corrections, credit, credit_steps, curves])
def test_runs_that_cannot_be_shown(figure, runs, dde, tmp_path):
    with pytest.raises(UserError, match="The figure needs runs"):
        figure.numbers({})
    with pytest.raises(UserError, match="nowhere does not exist: give the folder of a run"):
        figure.numbers({"DDE": [tmp_path / "nowhere"]})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty has no (credit.npz|metrics.jsonl): it is"):
        figure.numbers({"DDE": [tmp_path / "empty"]})
    with pytest.raises(UserError, match="DDE names one folder twice"):
        figure.numbers({"DDE": dde["DDE"][:1] * 2})
    with pytest.raises(UserError, match="DDE holds runs of 3 and of 40 steps"):
        figure.numbers({"DDE": [runs["dde-0"], runs["short"]]})


def test_damaged_and_unlike_credit_maps_are_refused(runs, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "credit.npz").write_bytes((runs["uniform"] / "credit.npz").read_bytes()[:300])
    with pytest.raises(UserError, match=r"credit.npz is no credit map"):
        credit.numbers({"Uni": [tmp_path / "run"]})
    with np.load(runs["uniform"] / "credit.npz") as arrays:
        unlike = dict(arrays) | {"bin_edges": arrays["bin_edges"] ** 2}
    np.savez(tmp_path / "run" / "credit.npz", **unlike)
    with pytest.raises(UserError, match="have different timestep bins"):
        credit.numbers({"Uni": [runs["uniform"]], "DDE": [tmp_path / "run"]})


def test_coefficients_are_the_factors_of_the_losses():
    schedule = load_schedule("tiny")
    weights = {name: weight.numpy() for name, weight in loss_weights(schedule).items()}
    found = coefficients.numbers("tiny", schedule.single_shot_weights.numpy(), weights)
    t = torch.arange(TIMESTEPS)
    abar = schedule.alphas_cumprod
    np.testing.assert_allclose(found["single_shot"], (1 - abar) / abar)
    np.testing.assert_allclose(found["dde"], 0.5 * schedule.single_shot_weight(t), rtol=1e-6)
    assert set(found["uniform"]) == {0.5}
    known = {1: 1.0, 10: 0.57, 100: 0.67, 500: 1.7, 1000: 6.1}  # of Stable Diffusion's schedule
    for step, value in known.items():
        assert found["dde_step"][step - 1] == pytest.approx(value, rel=0.02)
    (axis,) = coefficients.draw(plain(found)).axes
    assert axis.get_yscale() == "log"
    np.testing.assert_allclose(axis.lines[0].get_xdata()[[0, -1]], [0.001, 1])


def test_an_infinite_weight_is_left_out():
    weights = np.array([0.1, 1.0, np.inf])
    found = plain(coefficients.numbers("zero SNR", weights, {"dde": weights / 2, "dde-single": weights / 2}))
    assert found["dde"] == [0.05, 0.5, None] and found["losses"] == {"dde": ["dde", "dde-single"]}
    assert found["single_shot"] == [0.1, 1.0, None]
    assert coefficients.draw(found).axes
