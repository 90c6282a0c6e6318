"""A scorer is what plain transformers computes, for any picture and any prompt, in any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from ddecli.core.errors import UserError
from ddecli.scoring.clip import ClipScore
from ddecli.scoring.hps import HumanPreferenceScore
from ddecli.scoring.pickscore import PickScore
from ddecli.scoring.presets import ScorerSource, check_metrics, scorer_source
from ddecli.scoring.score import SCORERS, load_scorer


def pictures(count: int = 5) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (40, 32), (32, 50), (64, 64), (100, 80)]
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes[:count]
    ]


PROMPTS = ["a red circle", "a blue star on white " * 4, "green", "絵", "a"]


@pytest.fixture(scope="module")
def scorer(scorer_folder: Path) -> ClipScore:
    return ClipScore(ScorerSource("clip", scorer_folder), "cpu")


@pytest.mark.parametrize("scorer_class", [ClipScore, HumanPreferenceScore, PickScore])
def test_scorer_equals_plain_transformers(scorer_class: type[ClipScore], scorer_folder: Path) -> None:
    model = CLIPModel.from_pretrained(scorer_folder, dtype=torch.float32).eval()
    processor = CLIPProcessor.from_pretrained(scorer_folder)
    inputs = processor(
        text=PROMPTS, images=pictures(), padding=True, truncation=True, max_length=16, return_tensors="pt"
    )
    with torch.no_grad():
        logits = model(**inputs).logits_per_image.diagonal()
    expected = logits if scorer_class is PickScore else logits / model.logit_scale.detach().exp()
    ours = scorer_class(ScorerSource("x", scorer_folder), "cpu").score(pictures(), PROMPTS)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_scores_do_not_depend_on_the_batch(scorer: ClipScore) -> None:
    together = scorer.score(pictures(), PROMPTS)
    apart = [scorer.score([image], [prompt])[0] for image, prompt in zip(pictures(), PROMPTS, strict=True)]
    torch.testing.assert_close(together, torch.stack(apart), rtol=1e-5, atol=1e-6)


def test_cut_prompts_keep_their_end_token(scorer: ClipScore) -> None:
    long = "a red circle " * 100
    tokens = scorer.tokenizer(long, truncation=True, max_length=scorer.max_tokens).input_ids
    assert len(tokens) == 16
    assert tokens[-1] == scorer.model.config.text_config.eos_token_id
    longer = scorer.encode_prompts([long, long + "a blue star"])
    torch.testing.assert_close(longer[0], longer[1])


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (1, 3), (3, 1), (3, 200), (200, 3), (20_000, 1), (20_000, 10), (10, 20_000)]
)
def test_odd_sizes(scorer: ClipScore, width: int, height: int) -> None:
    pixels = scorer.preprocess(Image.new("RGB", (width, height), (255, 0, 0)))
    assert pixels.shape == (3, 32, 32)
    mean, std = scorer.image_processor.image_mean, scorer.image_processor.image_std
    expected = torch.tensor([(channel - m) / s for channel, m, s in zip((1, 0, 0), mean, std, strict=True)])
    torch.testing.assert_close(pixels.mean((1, 2)), expected.float(), rtol=1e-4, atol=1e-4)


def test_long_pictures_are_seen_at_their_centre(scorer: ClipScore) -> None:
    wide = Image.new("RGB", (900, 100), "white")
    wide.paste((0, 0, 255), (350, 0, 550, 100))
    blue = Image.new("RGB", (100, 100), (0, 0, 255))
    torch.testing.assert_close(scorer.preprocess(wide), scorer.preprocess(blue))


def test_card_tells_models_apart(scorer_folder: Path, other_scorer_folder: Path) -> None:
    card = PickScore(ScorerSource("weights", scorer_folder), "cpu").card
    other = PickScore(ScorerSource("weights", other_scorer_folder), "cpu").card
    assert card["scale"] == "exp(logit_scale) x cosine"
    assert card["preprocessing"]["resample"] == "bicubic"
    assert len(card["sha256"]) == 64
    assert {key for key in card if card[key] != other[key]} == {"sha256"}


def test_every_metric_has_a_scorer_of_its_name() -> None:
    assert all(scorer.name == name for name, scorer in SCORERS.items())
    assert check_metrics(["clip", "truth", "clip"]) == ("clip", "truth")


def test_unknown_metric_lists_the_choices() -> None:
    with pytest.raises(UserError, match="clip, hps, pickscore, truth"):
        check_metrics(["clap"])


@pytest.mark.parametrize("metric", ["hps", "truth"])
def test_absent_weights_say_what_to_do(metric: str) -> None:
    with pytest.raises(UserError, match=f"No weights of {metric}"):
        scorer_source(metric, "real")


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_scorer("clip", ScorerSource("x", tmp_path), "cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no CLIPModel folder"):
        load_scorer("clip", ScorerSource("x", tmp_path), "cpu")


def test_hub_model_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(UserError, match="hf download yuvalkirstain/PickScore_v1"):
        load_scorer("pickscore", scorer_source("pickscore", "real"), torch.device("cpu"))
