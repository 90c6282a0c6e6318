"""Which settings a grid of trials chooses."""

import numpy as np
import pytest
import yaml
from score_sets import score_set

from ddecli.core.errors import UserError
from ddecli.core.run_files import write_performance
from ddecli.tuning.choose import choose

BASE = {name: np.array([[1.0], [3.0], [5.0]]) for name in ("clip", "hps", "pickscore")}


def trial(folder, name, shift, judges=BASE, **settings):
    """A run folder, and scores of its images that lie `shift` above the base's (scaled by metric)."""
    run = folder / name
    run.mkdir()
    known = {"loss": "dde", "beta": 20.0, "lr": 3e-5, "steps": 80, "batch_size": 32, "warmup": 8, "seed": 0}
    (run / "run.yaml").write_text(yaml.safe_dump(known | settings))
    scores = {metric: values + shift for metric, values in judges.items()}
    return score_set(name, scores | {"truth": np.zeros((3, 1))}, model=str(run))


def base(judges=BASE):
    return score_set("base", judges | {"truth": np.zeros((3, 1))})


def test_gain_is_in_standard_deviations_of_the_base(tmp_path):
    found = choose(base(), [trial(tmp_path, "a", 2.0)])
    assert found.trials[0].gain == pytest.approx(2.0 / np.std([1, 3, 5]))


def test_scale_of_a_scorer_plays_no_part(tmp_path):
    scaled = BASE | {"pickscore": 100 * BASE["pickscore"]}
    ours = trial(tmp_path, "a", 2.0)
    gains = {"clip": 2.0, "hps": 2.0, "pickscore": 200.0}
    theirs = score_set(
        "b", {name: scaled[name] + gains[name] for name in scaled} | {"truth": np.zeros((3, 1))},
        model=str(tmp_path / "a"),
    )  # fmt: skip
    one, other = choose(base(), [ours]).trials[0].gain, choose(base(scaled), [theirs]).trials[0].gain
    assert one == pytest.approx(other)


def test_best_of_each_loss_and_edges(tmp_path):
    trials = [
        trial(tmp_path, f"{loss}-{beta}", gain, loss=loss, beta=beta)
        for loss, gains in {"dde": (1.0, 2.0, 1.5), "uniform": (3.0, 2.0, 1.0)}.items()
        for beta, gain in zip((5.0, 20.0, 80.0), gains, strict=True)
    ]
    found = choose(base(), trials)
    assert found.as_dict()["chosen"] == {
        "dde": {"beta": 20.0, "lr": 3e-5},
        "uniform": {"beta": 5.0, "lr": 3e-5},
    }
    assert found.at_edge() == ["uniform: beta 5"]


def test_a_lucky_seed_is_not_chosen(tmp_path):
    trials = [
        trial(tmp_path, "lucky", 3.0, beta=5.0, seed=0),
        trial(tmp_path, "unlucky", -3.0, beta=5.0, seed=1),
        trial(tmp_path, "steady-0", 1.0, beta=20.0, seed=0),
        trial(tmp_path, "steady-1", 1.0, beta=20.0, seed=1),
        trial(tmp_path, "once", 2.0, beta=80.0, seed=0),
    ]
    found = choose(base(), trials)
    assert found.best()["dde"].beta == 20.0
    lucky = found.trials[0]
    assert (lucky.seeds, lucky.gain) == ([0, 1], pytest.approx(0.0))


def test_a_trial_takes_the_mean_time_of_its_trainings_that_say_it(tmp_path):
    trials = [
        trial(tmp_path, f"{beta}-{seed}", 1.0, beta=beta, seed=seed)
        for beta in (5.0, 20.0)
        for seed in range(3)
    ]
    for name, seconds in (("5.0-0", 10.0), ("5.0-2", 40.0)):
        write_performance(tmp_path / name, {"seconds": seconds}, {})
    found = choose(base(), trials)
    assert [(each.beta, each.train_seconds) for each in found.trials] == [(5.0, 25.0), (20.0, None)]


def test_the_same_trial_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="same settings and seed"):
        choose(base(), [trial(tmp_path, "a", 1.0), trial(tmp_path, "b", 2.0)])


def test_sft_has_no_beta(tmp_path):
    found = choose(base(), [trial(tmp_path, "a", 1.0, loss="sft", beta=1.0)])
    assert found.as_dict()["chosen"] == {"sft": {"lr": 3e-5}}


def test_unequal_budgets_are_refused(tmp_path):
    with pytest.raises(UserError, match="equal budgets"):
        choose(base(), [trial(tmp_path, "a", 1.0), trial(tmp_path, "b", 2.0, steps=160)])


def test_a_run_that_is_gone_is_named(tmp_path):
    lost = trial(tmp_path, "a", 1.0)
    (tmp_path / "a" / "run.yaml").unlink()
    with pytest.raises(UserError, match=r"run\.yaml"):
        choose(base(), [lost])


@pytest.mark.parametrize("text", ["loss: [\n", "", "beta: 1\n", "loss: dde\nlr: much\nbeta: 1\n"])
def test_a_damaged_run_is_named(tmp_path, text):
    damaged = trial(tmp_path, "a", 1.0)
    (tmp_path / "a" / "run.yaml").write_text(text)
    with pytest.raises(UserError, match=r"run\.yaml"):
        choose(base(), [damaged])


def test_a_missing_judge_is_named(tmp_path):
    with pytest.raises(UserError, match="no pickscore scores"):
        choose(base({"clip": BASE["clip"], "hps": BASE["hps"]}), [trial(tmp_path, "a", 1.0)])


def test_a_loss_that_is_not_known_here_has_the_beta_of_its_run(tmp_path):
    trials = [
        trial(tmp_path, loss, 1.0, loss=loss, beta=7.0) for loss in ("sft", "uniform", "of-tomorrow", "dpo")
    ]
    betas = {each.loss: each.beta for each in choose(base(), trials).trials}
    assert betas == {"sft": None, "uniform": 7.0, "of-tomorrow": 7.0, "dpo": 7.0}
