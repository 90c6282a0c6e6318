"""FID and CMMD, beside slow versions of their formulas."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from PIL import Image
from torch.nn import functional
from transformers import CLIPImageProcessorPil, CLIPModel

from ddecli.core.errors import UserError
from ddecli.scoring import distances as of_distances
from ddecli.scoring.classifiers import ClassifierFeatures, ClassifierLogits
from ddecli.scoring.distances import DistanceSettings, distances, squared_discrepancy


def pictures(folder: Path, count: int, seed: int, size: tuple[int, int] = (32, 32)) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        pixels = rng.integers(0, 100 + 20 * seed, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    return folder


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_classifier(tmp_path_factory.mktemp("classifier") / "classifier")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_clip(tmp_path_factory.mktemp("scorer") / "clip")


def features(folder: Path, classifier: Path) -> np.ndarray:
    """What the classifier's last layer is given, picture by picture, by a hook."""
    network = ClassifierLogits(classifier)
    seen: list[torch.Tensor] = []
    network.network.classifier.register_forward_pre_hook(lambda _, given: seen.append(given[0].flatten(1)))
    for file in sorted(folder.glob("*.png")):
        pixels = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None]
        with torch.inference_mode():
            network(pixels)
    return torch.cat(seen).double().numpy()


def test_fid_is_the_formula(tmp_path: Path, classifier: Path) -> None:
    a, b = pictures(tmp_path / "a", 60, 0), pictures(tmp_path / "b", 50, 1)
    settings = DistanceSettings(("fid",), str(classifier), batch_size=7)
    (found,) = distances(a, b, settings)
    first, second = features(a, classifier), features(b, classifier)
    a_cov, b_cov = np.cov(first.T), np.cov(second.T)
    values, vectors = np.linalg.eigh(a_cov)
    half = vectors * np.sqrt(values.clip(0)) @ vectors.T
    root = np.sqrt(
        np.linalg.eigvalsh(half @ b_cov @ half).clip(0)
    ).sum()  # the trace of the root of the product
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(a_cov + b_cov) - 2 * root
    assert found.value == pytest.approx(expected, rel=1e-3) and found.value > 0
    assert (found.images, found.against_images, found.card["model"]) == (60, 50, "classifier")
    (back,) = distances(b, a, settings)
    assert back.value == pytest.approx(found.value, rel=1e-3)


def test_features_are_what_the_last_layer_takes(tmp_path: Path, classifier: Path) -> None:
    folder = pictures(tmp_path / "a", 3, 0)
    network = ClassifierFeatures(ClassifierLogits(classifier))
    pixels = [np.array(Image.open(file)) for file in sorted(folder.glob("*.png"))]
    with torch.inference_mode():
        own = network(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))
    assert own.shape == (3, network.num_features)
    assert torch.allclose(own.double(), torch.from_numpy(features(folder, classifier)), atol=1e-5)


def test_cmmd_is_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_distances, "ROWS_AT_ONCE", 3)
    rng = torch.Generator().manual_seed(0)
    a, b = (functional.normalize(torch.randn(count, 5, generator=rng), dim=1) for count in (8, 6))

    def mean(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(np.mean([[np.exp(-float(((p - q) ** 2).sum()) / 200) for q in y] for p in x]))

    expected = 1000 * (mean(a, a) + mean(b, b) - 2 * mean(a, b))
    assert squared_discrepancy(a, b) == pytest.approx(expected, rel=1e-4)
    assert squared_discrepancy(a, a) == pytest.approx(0, abs=1e-9)


def test_cmmd_of_folders_is_that_of_their_embeddings(tmp_path: Path, clip: Path) -> None:
    a, b = pictures(tmp_path / "a", 6, 0, (40, 40)), pictures(tmp_path / "b", 5, 1, (20, 40))
    settings = DistanceSettings(("cmmd",), folders={"clip": clip}, batch_size=4)
    (found,) = distances(a, b, settings)
    processor = CLIPImageProcessorPil.from_pretrained(clip)
    model = CLIPModel.from_pretrained(clip, dtype=torch.float32)

    def embedded(folder: Path) -> torch.Tensor:
        images = [Image.open(file).convert("RGB") for file in sorted(folder.glob("*.png"))]
        with torch.inference_mode():
            given = model.get_image_features(**processor(images, return_tensors="pt")).pooler_output
        return functional.normalize(given, dim=-1)

    assert found.value == pytest.approx(squared_discrepancy(embedded(a), embedded(b)), rel=1e-3)
    assert found.card["name"] == "clip"


def test_what_cannot_be_measured(tmp_path: Path, classifier: Path) -> None:
    a, alone = pictures(tmp_path / "a", 3, 0), pictures(tmp_path / "alone", 1, 1)
    broken = pictures(tmp_path / "broken", 3, 2)
    (broken / "01.png").write_bytes(b"no picture")
    settings = DistanceSettings(("fid",), str(classifier))
    for other, words in (
        (alone, "alone has one picture alone"),
        (a, "is held against itself"),
        (broken, "1 of 3 pictures of .*broken cannot be read"),
        (tmp_path / "none", "is no folder of images"),
    ):
        with pytest.raises(UserError, match=words):
            distances(a, other, settings)
    big = pictures(tmp_path / "big", 3, 0, size=(64, 64))
    with pytest.raises(UserError, match="pictures of different worlds"):
        distances(a, big, DistanceSettings(("cmmd",)))
