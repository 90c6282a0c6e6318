"""A scorer is what plain transformers computes, for any picture and any prompt, in any batch."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pytest
import tiny_models
import torch
from hub_cache import REVISION, AddToHub, make_hub
from huggingface_hub.errors import GatedRepoError
from PIL import Image
from transformers import CLIPModel, CLIPProcessor

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file
from ddecli.scoring.clip import ClipScore
from ddecli.scoring.pickscore import PickScore
from ddecli.scoring.published import CLIP_H, METRICS, ScorerSource, check_metrics, scorer_source
from ddecli.scoring.score import SCORERS, check_pin, load_scorer, scorer_class
from ddecli.stats.metrics import NAMES


def pictures(count: int = 5) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (40, 32), (32, 50), (64, 64), (100, 80)]
    return [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes[:count]
    ]


ROOT = Path(__file__).parents[2]
PROMPTS = ["a red circle", "a blue star on white " * 4, "green", "絵", "a"]


@pytest.fixture(scope="module")
def scorer(scorer_folder: Path) -> ClipScore:
    return ClipScore(ScorerSource("clip", scorer_folder), "cpu")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    return make_hub(tmp_path / "cache", monkeypatch)


@pytest.mark.two_threads
@pytest.mark.parametrize("scorer_class", [ClipScore, PickScore])
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


@pytest.mark.two_threads
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
    assert list(SCORERS) == list(METRICS) == [scorer_class(metric).name for metric in METRICS]
    assert check_metrics(["clip", "truth", "clip"]) == ("clip", "truth")


def test_a_metric_is_described_wherever_metrics_are_listed() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    for name, metric in METRICS.items():
        assert any(f"`{name}`" in row for row in rows), name
        assert NAMES[name] == metric.label


def test_unknown_metric_lists_the_choices() -> None:
    with pytest.raises(UserError, match=re.escape(", ".join(METRICS))):
        check_metrics(["clap"])


def test_metrics_of_one_family_only() -> None:
    with pytest.raises(UserError, match="No weights of truth"):
        scorer_source("truth", "real")
    with pytest.raises(UserError, match="no aesthetic: .*--family real"):
        scorer_source("aesthetic", "tiny")


def test_folder_without_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.json"):
        load_scorer("clip", ScorerSource("x", tmp_path), "cpu")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("<html>")
    with pytest.raises(UserError, match=r"lacks one of config\.json, tokenizer_config\.json"):
        load_scorer("clip", ScorerSource("x", tmp_path), "cpu")
    with pytest.raises(UserError, match="no CLIPModel folder"):
        load_scorer("pickscore", ScorerSource("x", tmp_path, tmp_path), "cpu")


def test_folder_of_another_model(scorer_folder: Path, tmp_path: Path) -> None:
    """A text encoder has a part of the weights: the others must not be made up at random."""
    folder = Path(shutil.copytree(scorer_folder, tmp_path / "text"))
    tiny_models.sd_pipeline().text_encoder.save_pretrained(tmp_path / "encoder")
    shutil.copy(tmp_path / "encoder" / "model.safetensors", folder)
    with pytest.raises(UserError, match="no CLIPModel folder .*weights are missing"):
        load_scorer("clip", ScorerSource("x", folder), "cpu")


def test_clip_and_pickscore_from_the_hub(hub: AddToHub, scorer_folder: Path, tmp_path: Path) -> None:
    """PickScore's repository is taken without a tokenizer and a processor: they are CLIP-H's."""
    hub(CLIP_H, scorer_folder)
    bare = Path(shutil.copytree(scorer_folder, tmp_path / "bare"))
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        (bare / name).unlink()
    hub("yuvalkirstain/PickScore_v1", bare)
    clip = load_scorer("clip", scorer_source("clip", "real"), "cpu")
    pickscore = load_scorer("pickscore", scorer_source("pickscore", "real"), "cpu")
    assert (clip.card["model"], clip.card["revision"]) == (CLIP_H, REVISION)
    assert pickscore.card["preprocessing"] == clip.card["preprocessing"]
    scale = clip.model.logit_scale.detach().exp()
    expected = clip.score(pictures(), PROMPTS) * scale
    torch.testing.assert_close(pickscore.score(pictures(), PROMPTS), expected)


@pytest.mark.parametrize("metric", ["clip", "hps", "hps-v2.1", "pickscore", "imagereward", "aesthetic"])
def test_hub_model_without_network(hub: AddToHub, head: Path, metric: str) -> None:
    """An empty cache, and one that holds the repository without its weights."""
    repository = METRICS[metric].hub_id
    assert repository is not None
    sentence = f"weights of {metric} .*hf download {repository}.* --scorer {metric}=FOLDER"
    with pytest.raises(UserError, match=sentence):
        load_scorer(metric, scorer_source(metric, "real"), torch.device("cpu"))
    (head.parent / "README.md").touch()
    hub(repository, head.parent)
    with pytest.raises(UserError, match=sentence):
        load_scorer(metric, scorer_source(metric, "real"), torch.device("cpu"))


def test_gated_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise GatedRepoError("403", response=Mock())

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    with pytest.raises(UserError, match=r"is gated: accept its terms .*hf auth login"):
        load_scorer("clip", scorer_source("clip", "real"), "cpu")


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random head for embeddings of 16 numbers where torch keeps downloads, and no network behind it."""

    def offline(*_: object, **__: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    file = tmp_path / "torch" / "checkpoints" / "sac+logos+ava1-l14-linearMSE.pth"
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    sizes = {0: (16, 1024), 2: (1024, 128), 4: (128, 64), 6: (64, 16), 7: (16, 1)}
    state = {
        f"layers.{n}.weight": torch.randn(after, before) / before**0.5 for n, (before, after) in sizes.items()
    }
    state |= {f"layers.{n}.bias": torch.randn(after) for n, (_, after) in sizes.items()}
    torch.save(state, file)
    return file


@pytest.mark.parametrize("half", [False, True])
def test_aesthetic_score_equals_plain_matrices(
    hub: AddToHub, head: Path, scorer_folder: Path, half: bool
) -> None:
    state = torch.load(head, weights_only=True)
    if half:
        state = {name: tensor.half() for name, tensor in state.items()}
        torch.save(state, head)
    hub("openai/clip-vit-large-patch14", scorer_folder)
    scorer = load_scorer("aesthetic", scorer_source("aesthetic", "real"), "cpu")
    model = CLIPModel.from_pretrained(scorer_folder, dtype=torch.float32).eval()
    inputs = CLIPProcessor.from_pretrained(scorer_folder).image_processor(pictures(), return_tensors="pt")
    with torch.no_grad():
        x = model.get_image_features(**inputs).pooler_output
    x = (x / x.norm(dim=1, keepdim=True)).double()
    for number in (0, 2, 4, 6, 7):
        x = x @ state[f"layers.{number}.weight"].double().T + state[f"layers.{number}.bias"].double()
    found = scorer.score(pictures(), ["x"] * 5)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), x[:, 0], rtol=1e-5, atol=1e-5)
    assert torch.equal(found, scorer.score(pictures(), PROMPTS))
    assert scorer.card["head_sha256"] == sha256_file(head)
    assert scorer.card["revision"] == REVISION
    assert "max_tokens" not in scorer.card["preprocessing"]


def test_aesthetic_folders(hub: AddToHub, head: Path, scorer_folder: Path, tmp_path: Path) -> None:
    """The head alone, the head beside the CLIP, neither, and what is no head."""
    hub("openai/clip-vit-large-patch14", scorer_folder)
    alone = load_scorer("aesthetic", scorer_source("aesthetic", "real", {"aesthetic": head.parent}), "cpu")
    both = Path(shutil.copytree(scorer_folder, tmp_path / "both"))
    shutil.copy(head, both)
    beside = load_scorer("aesthetic", scorer_source("aesthetic", "real", {"aesthetic": both}), "cpu")
    assert alone.card["head_sha256"] == beside.card["head_sha256"]
    assert "sha256" in beside.card
    assert torch.equal(alone.score(pictures(), PROMPTS), beside.score(pictures(), PROMPTS))
    for content in (b"<html>", b""):
        head.write_bytes(content)
        with pytest.raises(UserError, match="is not the published head"):
            load_scorer("aesthetic", scorer_source("aesthetic", "real"), "cpu")
    torch.save({"weight": torch.zeros(1, 16), "bias": torch.zeros(1)}, head)  # the predictor's first version
    with pytest.raises(UserError, match="is not the published head"):
        load_scorer("aesthetic", scorer_source("aesthetic", "real"), "cpu")
    head.unlink()
    with pytest.raises(UserError, match=r"fetch https://github\.com.*--scorer aesthetic=FOLDER"):
        load_scorer("aesthetic", scorer_source("aesthetic", "real"), "cpu")


def test_pins(scorer_folder: Path) -> None:
    card = PickScore(ScorerSource("weights", scorer_folder), "cpu").card
    for pin in ("", card["sha256"], card["sha256"][:8].upper()):
        check_pin(card, pin)
    with pytest.raises(UserError, match=f"pickscore are not the pinned 00ff, but sha256 {card['sha256']}"):
        check_pin(card, "00ff")
