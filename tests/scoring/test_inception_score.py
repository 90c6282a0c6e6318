"""The Inception Score against its formula, computed slowly, against torchmetrics, and in shards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchmetrics.image.inception import InceptionScore

from ddecli.core.errors import UserError
from ddecli.core.seeds import seed_of
from ddecli.scoring.classifiers import ClassifierLogits
from ddecli.scoring.inception_score import inception_score
from ddecli.scoring.logits import split_scores
from ddecli.scoring.sources import read_source

MakeSample = Callable[..., Path]


def pixels(folder: Path) -> Tensor:
    """(N, 3, 32, 32) uint8 in the order of the metadata."""
    pictures = [np.array(Image.open(image.path)) for image in read_source([folder]).images]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


def probabilities(folder: Path, classifier_folder: Path) -> np.ndarray:
    """(N, classes) float64 in the order of the metadata."""
    with torch.no_grad():
        logits = ClassifierLogits(classifier_folder)(pixels(folder)).double().numpy()
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
    assert found["mean"] == pytest.approx(expected, rel=1e-6)
    assert found["std"] is None
    assert found["protocol"]["steps"] == 2


@pytest.mark.parametrize("splits", [1, 3, 5, 10])  # of 18 images: in even parts, and in uneven ones
def test_the_same_number_as_torchmetrics(
    make_sample: MakeSample, classifier_folder: Path, splits: int
) -> None:
    folder = make_sample(per_prompt=6)
    metric = InceptionScore(feature=ClassifierLogits(classifier_folder), splits=splits)
    with torch.random.fork_rng(), torch.no_grad():
        metric.update(pixels(folder))
        torch.manual_seed(seed_of("inception", 7))
        mean, std = metric.compute()
    found = inception_score(folder, str(classifier_folder), splits=splits, seed=7)
    assert found["mean"] == pytest.approx(float(mean), rel=1e-5)
    assert (found["std"] is None) == (splits == 1)
    if found["std"] is not None:
        assert found["std"] == pytest.approx(float(std), rel=1e-4)


def test_a_class_that_no_image_shows() -> None:
    """Its probability is 0 in float32; two sure and different classes score 2, one alone scores 1."""
    logits = torch.tensor([[0.0, -200, -200], [-200, 0.0, -200]])
    both = split_scores(iter([logits[:1], logits[1:]]), torch.tensor([0, 0]))
    torch.testing.assert_close(both, torch.tensor([2.0], dtype=torch.float64))
    apart = split_scores(iter([logits]), torch.tensor([0, 1]))
    torch.testing.assert_close(apart, torch.ones(2, dtype=torch.float64))


def test_several_splits(make_sample: MakeSample, classifier_folder: Path) -> None:
    folder = make_sample(per_prompt=6)
    found = inception_score(folder, str(classifier_folder), splits=3, seed=1)
    assert found["mean"] != inception_score(folder, str(classifier_folder), splits=3, seed=2)["mean"]
    assert (found["splits"], found["images"], found["complete"]) == (3, 18, True)
    assert found["std"] > 0
    shutil.rmtree(folder / "inception-logits")
    again = inception_score(folder, str(classifier_folder), splits=3, seed=1, batch_size=4)
    assert again["mean"] == pytest.approx(found["mean"], rel=1e-6)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddecli.scoring.logits.CHUNK", 5)


@pytest.fixture
def classified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each call of the classifier saw; its kernels round by the shape of the batch, as some do."""
    seen: list[int] = []
    forward = ClassifierLogits.forward

    def counted(self: ClassifierLogits, images: Tensor) -> Tensor:
        seen.append(len(images))
        logits = forward(self, images)
        place = torch.arange(len(images), dtype=torch.float32)[:, None] + 10 * len(images)
        return logits + 1e-5 * place * torch.arange(logits.shape[1]).remainder(3)

    monkeypatch.setattr(ClassifierLogits, "forward", counted)
    return seen


@pytest.mark.two_threads
@pytest.mark.usefixtures("small_chunks")
def test_shards_form_the_same_score(
    make_sample: MakeSample, classifier_folder: Path, classified: list[int]
) -> None:
    """24 images in chunks of 5: five chunks for three machines, in any order, and for a fourth with nothing to do.

    The same number to the last bit, although kernels round by the shape of a batch: all cut it at the same places.
    """
    whole, shared = make_sample(per_prompt=8), make_sample("shared", per_prompt=8)
    expected = inception_score(whole, str(classifier_folder), splits=4)
    classified.clear()

    def run(number: int, shards: int) -> dict[str, object]:
        return inception_score(shared, str(classifier_folder), splits=4, shard=(number, shards))

    assert run(3, 3) == {"complete": False, "images": 24, "classified": 5}
    assert run(1, 3) == {"complete": False, "images": 24, "classified": 15}
    assert run(3, 3)["classified"] == 15  # a second time: nothing to do
    found = run(2, 3)
    assert sum(classified) == 24
    assert found | {"protocol": None} == expected | {"protocol": None}
    assert run(6, 6) == found
    other = inception_score(shared, str(classifier_folder), splits=2, seed=3)
    assert (other["splits"], sum(classified)) == (2, 24)


@pytest.mark.usefixtures("small_chunks")
def test_a_stopped_command_goes_on(
    make_sample: MakeSample, classifier_folder: Path, classified: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_sample(per_prompt=8)
    expected = inception_score(folder, str(classifier_folder), splits=4, batch_size=3)
    shutil.rmtree(folder / "inception-logits")
    classified.clear()
    forward = ClassifierLogits.forward

    def stopped(self: ClassifierLogits, images: Tensor) -> Tensor:
        if sum(classified) >= 12:
            raise KeyboardInterrupt
        return forward(self, images)

    with monkeypatch.context() as context:
        context.setattr(ClassifierLogits, "forward", stopped)
        with pytest.raises(KeyboardInterrupt):
            inception_score(folder, str(classifier_folder), splits=4, batch_size=3)
    assert sum(classified) < 24
    done = sum(classified) // 5 * 5
    classified.clear()
    found = inception_score(folder, str(classifier_folder), splits=4, batch_size=3)
    assert found["mean"] == expected["mean"]
    assert sum(classified) == 24 - done
    shutil.rmtree(folder / "inception-logits")
    other = inception_score(folder, str(classifier_folder), splits=4, batch_size=2)
    assert other["mean"] != expected["mean"]  # another batch size may round otherwise


@pytest.mark.usefixtures("small_chunks")
def test_logits_of_other_images_or_another_classifier_are_not_taken(
    make_sample: MakeSample, classifier_folder: Path, classified: list[int], tmp_path: Path
) -> None:
    folder = make_sample(per_prompt=8)
    first = inception_score(folder, str(classifier_folder), splits=2)
    path = read_source([folder]).images[7].path
    Image.new("RGB", (32, 32), "white").save(path)
    classified.clear()
    second = inception_score(folder, str(classifier_folder), splits=2)
    assert sum(classified) == 5
    assert second["mean"] != first["mean"]
    logits = sorted((folder / "inception-logits").iterdir())
    logits[2].write_bytes(logits[2].read_bytes()[:40])  # cut in half
    classified.clear()
    assert inception_score(folder, str(classifier_folder), splits=2)["mean"] == second["mean"]
    assert sum(classified) == 5
    assert inception_score(folder, "tiny", splits=2)["mean"] != second["mean"]
    path.unlink()
    with pytest.raises(UserError, match="1 of 24 images cannot be read"):
        inception_score(folder, "tiny", splits=2)


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


def test_a_folder_that_cannot_be_written_to(
    make_sample: MakeSample, classifier_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_sample()
    expected = inception_score(folder, str(classifier_folder), splits=2)
    shutil.rmtree(folder / "inception-logits")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert inception_score(folder, str(classifier_folder), splits=2) == expected
    assert not (folder / "inception-logits").exists()
    with pytest.raises(UserError, match="shards leave their logits"):
        inception_score(folder, str(classifier_folder), splits=2, shard=(1, 2))


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


def test_larger_pictures_are_made_smaller_as_pillow_does(classifier_folder: Path) -> None:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    large = Image.fromarray(coarse).resize((96, 96), Image.Resampling.BICUBIC)
    small = large.resize((32, 32), Image.Resampling.BILINEAR)
    first, second = (torch.from_numpy(np.array(each)).permute(2, 0, 1)[None] for each in (large, small))
    network = ClassifierLogits(classifier_folder)
    with torch.no_grad():
        found, expected = network(first), network.network(pixel_values=second.float() / 127.5 - 1).logits
        unsized = network.network(pixel_values=first.float() / 127.5 - 1).logits
    size = (unsized - expected).abs().max()
    assert (found - expected).abs().max() < 0.05 * size
    assert torch.equal(network(second), expected)
