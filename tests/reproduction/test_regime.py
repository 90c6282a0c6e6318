"""Trainings until logits saturate: the window of each beta, and what the article says of it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml
from experiments import SETTINGS, write_experiment
from run_folders import write_run

from ddecli.core.errors import UserError
from ddecli.document.markdown import to_markdown
from ddecli.reproduction.article.article import article
from ddecli.reproduction.article.findings import find
from ddecli.reproduction.experiment import read_experiment
from ddecli.reproduction.regime import longest, regime_of

STEPS, BINS = 40, 50


def coefficients(model):
    return np.geomspace(0.001, 200, 1000)


def trained(folder, loss, beta, middle, sigmoid=0.1, seed=10, corrections=None):
    """A run whose middle has this share of the credit, `(steps,)`; the other two parts have half of the rest each."""
    share = np.broadcast_to(middle, STEPS)[:, None]
    weight = (
        np.repeat([1.0, 0.0, 1.0], [10, 25, 15]) * (1 - share) / 2 / np.repeat([10, 25, 15], [10, 25, 15])
    )
    weight = weight + np.repeat([0.0, 1 / 25, 0.0], [10, 25, 15]) * share
    count = np.full((STEPS, BINS), 2.0)
    write_run(
        folder,
        weight,
        count,
        corrections,
        sigmoid=np.full((STEPS, BINS), sigmoid),
        norm=weight,
        implicit_accuracy=np.ones(STEPS),
    )
    settings = SETTINGS | {"loss": loss, "beta": beta, "seed": seed, "steps": STEPS, "batch_size": 100}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    (folder / "perf.json").write_text(json.dumps({"seconds": 1.0}))
    return str(folder)


@pytest.fixture
def experiment(tmp_path):
    """DDE at three beta: 20 stays below uniform training; 320 is above it in steps 11 to 30, above half in 16 to 25;
    5120 is above one half in four steps alone, fewer than a share is taken over."""
    step = np.arange(1, STEPS + 1)
    high = np.where((step >= 16) & (step <= 25), 0.8, np.where((step >= 11) & (step <= 30), 0.45, 0.1))
    short = np.where((step >= 20) & (step <= 21), 0.6, 0.1)
    regime = {
        "dde": [
            *(trained(tmp_path / f"r/dde-20-{n}", "dde", 20.0, 0.1, 0.5, n) for n in (10, 11)),
            trained(tmp_path / "r/dde-320", "dde", 320.0, high),
            trained(tmp_path / "r/dde-5120", "dde", 5120.0, short),
        ],
        "uniform": [trained(tmp_path / f"r/uniform-{b:g}", "uniform", b, 0.3) for b in (20.0, 320.0, 5120.0)],
    }
    file = write_experiment(tmp_path / "e")
    described = yaml.safe_load(file.read_text())
    described["models"]["tiny"]["regime"] = regime
    file.write_text(yaml.safe_dump(described))
    return file


def test_windows_of_each_beta(experiment):
    found = find(read_experiment(experiment), coefficients)
    regime = found.regimes["tiny"]
    assert (regime.by, regime.steps, regime.chosen) == ("norm", STEPS, 20.0)
    low, high, short = regime.betas
    assert [each.beta for each in regime.betas] == [20, 320, 5120]
    assert (low.trainings, low.above_uniform, low.above_half) == (2, None, None)
    assert low.first == low.last == pytest.approx(0.1)
    # Shares are means over five steps: they cross at an edge where three of five are inside.
    assert high.above_uniform == (11, 30)
    assert high.above_half == (14, 27)  # four of .45 and one of .8 have a mean of .52
    assert high.largest == pytest.approx(0.8)
    assert (high.rival, low.slope, high.slope) == pytest.approx((0.3, 1.0, 0.36))
    assert high.single is None and high.correction is None
    assert (short.above_uniform, short.above_half) == (None, None)
    assert found.as_dict()["regimes"]["tiny"]["betas"][1]["above_uniform"] == (11, 30)


def test_the_article_says_which_beta_has_a_window_and_whether_it_is_the_one_in_use(experiment):
    text = to_markdown(article(find(read_experiment(experiment), coefficients)))
    section = text.split(". Credit where logits saturate\n")[1].split("\n## ")[0]
    assert (
        "tiny, 40 steps: the share of 0.2-0.7 in the credit of DDE lies above that of uniform training with β 320 "
        "(steps 11 to 30), and above one half with β 320 (steps 14 to 27); β 20, which the reported trainings of "
        "DDE use, has no window."
    ) in section
    assert "A β has a window if for as many steps on end, or more" in section
    assert "| 320 | 1 | 10 % | 80 % | 10 % | 30 % | – | 11–30 | 14–27 | 0.36 | – |" in section
    assert "Judged by the trainings until logits saturate: 1 of DDE, 40 steps, β 320" in text


def test_a_beta_without_uniform_training_is_held_against_one_half_alone(experiment):
    described = yaml.safe_load(experiment.read_text())
    regime = described["models"]["tiny"]["regime"]
    regime["uniform"] = regime["uniform"][:1]  # that of 20
    experiment.write_text(yaml.safe_dump(described))
    text = to_markdown(article(find(read_experiment(experiment), coefficients)))
    assert "above that of uniform training with none of β 20, and above one half with β 320 (" in text
    del regime["uniform"]
    experiment.write_text(yaml.safe_dump(described))
    text = to_markdown(article(find(read_experiment(experiment), coefficients)))
    assert (
        "the share of 0.2-0.7 in the credit of DDE lies above one half with β 320 (steps 14 to 27);" in text
    )


def test_dde_stands_beside_itself_without_corrections(experiment, tmp_path):
    described = yaml.safe_load(experiment.read_text())
    regime = described["models"]["tiny"]["regime"]
    regime["dde-single"] = [trained(tmp_path / "r/single", "dde-single", 320.0, 0.2)]
    corrections = np.zeros((STEPS, BINS))
    corrections[-1, 3:5] = 0.01, -0.02
    regime["dde"].append(trained(tmp_path / "r/corrected", "dde", 320.0, 0.1, corrections=corrections))
    experiment.write_text(yaml.safe_dump(described))
    found = find(read_experiment(experiment), coefficients)
    high = found.regimes["tiny"].betas[1]
    assert (high.trainings, high.single, high.correction) == pytest.approx((2, 0.2, 320 * 0.02))
    assert "| 20 % | " in to_markdown(article(found)) and "| 6.4 |" in to_markdown(article(found))


def test_without_such_trainings_the_article_has_no_such_section(tmp_path):
    found = find(read_experiment(write_experiment(tmp_path)), coefficients)
    assert found.regimes == {}
    assert "Credit where logits saturate" not in to_markdown(article(found))
    assert regime_of(found.evidence.models["tiny"]) is None


def test_a_run_of_another_loss_is_refused(experiment):
    described = yaml.safe_load(experiment.read_text())
    regime = described["models"]["tiny"]["regime"]
    regime["uniform"].append(regime["dde"][0])
    experiment.write_text(yaml.safe_dump(described))
    with pytest.raises(UserError, match="listed under uniform, but was trained with the loss dde"):
        find(read_experiment(experiment), coefficients)


@pytest.mark.parametrize(
    ("inside", "steps"),
    [("0" * 40, None), ("1" * 40, (1, 40)), ("0" * 30 + "1" * 10, (31, 40)), ("1" * 4 + "0" * 36, None)],
)
def test_the_longest_stretch(inside, steps):
    assert longest(np.array([each == "1" for each in inside])) == steps
