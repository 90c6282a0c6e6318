"""The Inception Score against its formula, computed slowly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ddecli.core.errors import UserError
from ddecli.scoring.inception import ClassifierLogits, inception_score
from ddecli.scoring.sources import read_source

MakeSample = Callable[..., Path]


def probabilities(folder: Path, classifier_folder: Path) -> np.ndarray:
    """(N, classes) float64 in the order of the metadata."""
    network = ClassifierLogits(classifier_folder).eval()
    pictures = [np.array(Image.open(image.path)) for image in read_source([folder]).images]
    with torch.no_grad():
        logits = network(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)).double().numpy()
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def slow_inception_score(p: np.ndarray) -> float:
    marginal = p.mean(0)
    divergences = [sum(x * (np.log(x) - np.log(m)) for x, m in zip(row, marginal, strict=True)) for row in p]
    return float(np.exp(np.mean(divergences)))


def test_one_split_equals_the_formula(make_sample: MakeSample, classifier_folder: Path) -> None:
    folder = make_sample()
    found = inception_score(folder, str(classifier_folder), splits=1, batch_size=5)
    expected = slow_inception_score(probabilities(folder, classifier_folder))
    assert expected > 1.05
    assert found["mean"] == pytest.approx(expected, rel=1e-5)
    assert found["std"] is None
    assert found["protocol"]["steps"] == 2


def test_several_splits(make_sample: MakeSample, classifier_folder: Path) -> None:
    folder = make_sample(per_prompt=6)
    found = inception_score(folder, str(classifier_folder), splits=3, seed=1)
    assert found == inception_score(folder, str(classifier_folder), splits=3, seed=1, batch_size=4)
    assert found["mean"] != inception_score(folder, str(classifier_folder), splits=3, seed=2)["mean"]
    assert (found["splits"], found["images"]) == (3, 18)
    assert found["std"] > 0


def test_the_global_generator_is_left_alone(make_sample: MakeSample, classifier_folder: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    inception_score(make_sample(), str(classifier_folder), splits=2)
    assert torch.equal(before, torch.get_rng_state())


def test_parts_that_do_not_come_out_even_are_stated(make_sample: MakeSample, classifier_folder: Path) -> None:
    found = inception_score(make_sample(), str(classifier_folder), splits=5)  # 12 images: 3 a part
    assert found["splits"] == 4


def test_anybodys_images_of_any_size(tmp_path: Path, classifier_folder: Path) -> None:
    for number, size in enumerate([(32, 32), (32, 32), (50, 20), (64, 64)]):
        Image.new("RGB", size, (60 * number, 0, 0)).save(tmp_path / f"{number}.png")
    found = inception_score(tmp_path, str(classifier_folder), splits=1)
    assert found["images"] == 4
    assert found["protocol"] is None


def test_wrong_input(make_sample: MakeSample, classifier_folder: Path, tmp_path: Path) -> None:
    folder = make_sample()
    with pytest.raises(UserError, match="12 images, fewer than 13 splits"):
        inception_score(folder, str(classifier_folder), splits=13)
    with pytest.raises(UserError, match=r"no config\.json"):
        inception_score(folder, str(tmp_path))
    with pytest.raises(UserError, match="no folder"):
        inception_score(tmp_path / "none", str(classifier_folder))
    read_source([folder]).images[0].path.write_bytes(b"<html>")
    with pytest.raises(UserError, match="1 of 12 images cannot be read"):
        inception_score(folder, str(classifier_folder))


def test_inception_v3_needs_its_extra(make_sample: MakeSample, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchmetrics.image.inception._TORCH_FIDELITY_AVAILABLE", False)
    with pytest.raises(UserError, match=r"ddecli\[inception\]"):
        inception_score(make_sample(), "inception")
