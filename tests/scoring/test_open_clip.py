"""HPS checkpoints of open_clip: the mapped model is the same function as an independent one, and scores so."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_models
import torch
from hub_cache import REVISION, AddToHub, make_hub
from PIL import Image
from torch import Tensor, nn
from transformers import AutoTokenizer
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ddecli.core.errors import UserError
from ddecli.scoring.hps import HumanPreferenceScore, HumanPreferenceScore21, clean
from ddecli.scoring.open_clip import load_open_clip
from ddecli.scoring.published import CLIP_H, HPS, scorer_source

PROMPTS = ["a red circle", "a blue star on white", "green", "a"]
WIDTH, EMBEDDING, LAYERS, HEADS, PATCH, SIZE = 16, 16, 2, 2, 8, 32


class Block(nn.Module):
    """A residual block with its layer norms in front: attention, then two linear layers with exact GELU between."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(WIDTH, 32), "c_proj": nn.Linear(32, WIDTH)})

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp["c_proj"](nn.functional.gelu(self.mlp["c_fc"](self.ln_2(x))))


def blocks() -> nn.ModuleDict:
    return nn.ModuleDict({"resblocks": nn.ModuleList(Block() for _ in range(LAYERS))})


class VisionTower(nn.Module):
    """Patches and a class token through the blocks; the class token, normalised and projected, is the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn((SIZE // PATCH) ** 2 + 1, WIDTH))
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = blocks()
        self.proj = nn.Parameter(torch.randn(WIDTH, EMBEDDING))

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(pixels), 1, -1), patches], 1)
        x = self.ln_pre(x + self.positional_embedding)
        for block in self.transformer["resblocks"]:
            x = block(x, None)
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    """open_clip's two-tower CLIP in plain torch, with open_clip's tensor names.

    Text: tokens through causal blocks; the state at the end token (the largest token number) is projected.
    """

    def __init__(self, words: int) -> None:
        super().__init__()
        self.visual = VisionTower()
        self.transformer = blocks()
        self.token_embedding = nn.Embedding(words, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(tiny_models.MAX_TOKENS, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, EMBEDDING))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_text(self, tokens: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding
        mask = torch.full((tokens.shape[1],) * 2, -torch.inf).triu(1)
        for block in self.transformer["resblocks"]:
            x = block(x, mask)
        return self.ln_final(x)[torch.arange(len(tokens)), tokens.argmax(1)] @ self.text_projection


@pytest.fixture(scope="module")
def companion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Architecture, tokenizer and image processor as CLIP-H's repository has them, without weights."""
    folder = tiny_models.save_clip(tmp_path_factory.mktemp("companion") / "clip-h")
    (folder / "model.safetensors").unlink()
    config = json.loads((folder / "config.json").read_text())
    for tower in ("text_config", "vision_config"):
        config[tower]["hidden_act"] = "gelu"
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def open_clip(companion: Path) -> OpenClip:
    """A random model; every tensor random, so that no two can be exchanged unseen."""
    torch.manual_seed(3)
    model = OpenClip(len(AutoTokenizer.from_pretrained(companion))).eval()
    for parameter in model.parameters():
        if parameter.ndim:
            nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    return make_hub(tmp_path / "cache", monkeypatch)


def save(model: OpenClip, file: Path, change: Callable[[Tensor], Tensor] = lambda tensor: tensor) -> Path:
    """A training checkpoint, as HPS is published."""
    file.parent.mkdir(exist_ok=True)
    state = {name: change(tensor) for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 1, "name": "hps", "state_dict": state}, file)
    return file


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (40, 32), (23, 50), (64, 64)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def whole_on_black(picture: Image.Image) -> Tensor:
    """A picture as the authors' package prepares it, by Pillow's resizing of floats, a channel at a time."""
    width, height = picture.size
    scale = SIZE / max(width, height)
    size = (round(width * scale), round(height * scale))
    canvas = np.zeros((3, SIZE, SIZE), np.float32)
    left, top = (SIZE - size[0]) // 2, (SIZE - size[1]) // 2
    for channel, plane in zip(canvas, picture.split(), strict=True):
        floats = Image.fromarray(np.asarray(plane, np.float32) / 255)
        channel[top : top + size[1], left : left + size[0]] = floats.resize(size, Image.Resampling.BICUBIC)
    mean, std = (
        np.array(values, np.float32).reshape(3, 1, 1) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD)
    )
    return torch.from_numpy((canvas - mean) / std)


@torch.no_grad()
def independent_scores(model: OpenClip, companion: Path) -> Tensor:
    """Cosines by the independent model, its tokens padded with zeros to the full length."""
    tokenizer = AutoTokenizer.from_pretrained(companion)
    tokens = torch.zeros(len(PROMPTS), tiny_models.MAX_TOKENS, dtype=torch.long)
    for row, prompt in zip(tokens, PROMPTS, strict=True):
        ids = tokenizer(prompt).input_ids
        row[: len(ids)] = torch.tensor(ids)
    pixels = torch.stack([whole_on_black(picture) for picture in pictures()])
    return nn.functional.cosine_similarity(model.visual(pixels), model.encode_text(tokens))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_mapped_model_has_the_same_features(
    open_clip: OpenClip, companion: Path, tmp_path: Path, prefix: str
) -> None:
    state = {prefix + name: tensor for name, tensor in open_clip.state_dict().items()}
    torch.save(state, tmp_path / "model.pt")
    mapped = load_open_clip(tmp_path / "model.pt", companion).eval()
    pixels = torch.randn(3, 3, SIZE, SIZE)
    end = mapped.config.text_config.eos_token_id
    tokens = torch.randint(0, end, (3, tiny_models.MAX_TOKENS))
    for row, length in zip(tokens, (4, 9, 15), strict=True):
        row[length] = end
    with torch.no_grad():
        image = mapped.get_image_features(pixel_values=pixels).pooler_output
        text = mapped.get_text_features(input_ids=tokens).pooler_output
        torch.testing.assert_close(image, open_clip.visual(pixels), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(text, open_clip.encode_text(tokens), rtol=1e-5, atol=1e-5)
    assert mapped.logit_scale == open_clip.logit_scale


def test_hps_from_the_hub(open_clip: OpenClip, companion: Path, hub: AddToHub, tmp_path: Path) -> None:
    save(open_clip, tmp_path / "hps" / "HPS_v2_compressed.pt")
    save(open_clip, tmp_path / "hps" / "HPS_v2.1_compressed.pt", torch.neg)
    hub(HPS, tmp_path / "hps")
    hub(CLIP_H, companion)
    scorer = HumanPreferenceScore(scorer_source("hps", "real"), "cpu")
    expected = independent_scores(open_clip, companion)
    torch.testing.assert_close(scorer.score(pictures(), PROMPTS), expected, rtol=1e-5, atol=1e-5)
    assert scorer.card["model"] == "xswu/HPSv2/HPS_v2_compressed.pt"
    assert scorer.card["revision"] == REVISION
    assert (scorer.card["scale"], scorer.card["preprocessing"]["max_tokens"]) == ("cosine", 16)
    assert scorer.card["preprocessing"]["resize"] == {"longest_edge": 32}
    newer = HumanPreferenceScore21(scorer_source("hps-v2.1", "real"), "cpu")
    assert newer.card["model"] == "xswu/HPSv2/HPS_v2.1_compressed.pt"
    assert not torch.allclose(newer.score(pictures(), PROMPTS), expected, atol=1e-3)


def test_pictures_are_seen_whole_on_black(companion: Path, open_clip: OpenClip, tmp_path: Path) -> None:
    file = save(open_clip, tmp_path / "hps" / "HPS_v2_compressed.pt")
    scorer = HumanPreferenceScore(scorer_source("hps", "real", {"hps": file, "clip": companion}), "cpu")
    rng = np.random.default_rng(0)
    for size in ((32, 32), (64, 64), (96, 64), (40, 75), (32, 16), (500, 20), (2, 2)):  # (width, height)
        picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
        torch.testing.assert_close(scorer.preprocess(picture), whole_on_black(picture), rtol=1e-5, atol=1e-5)
    thin = scorer.preprocess(Image.new("RGB", (1000, 1), "white"))
    assert thin.shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("prompt", "cleaned"),
    [
        ("A “quoted” cat, the dog’s", 'A "quoted" cat, the dog\'s'),
        ("tom &amp; jerry", "tom & jerry"),
        ("&amp;amp; twice &lt;3", "& twice <3"),
        ("cafÃ© rouge", "café rouge"),
        ("ﬁsh", "fish"),
        ("a\u00a0b 絵 🙂", "a\u00a0b 絵 🙂"),
    ],
)
def test_prompts_are_cleaned_as_published(prompt: str, cleaned: str) -> None:
    assert clean(prompt) == cleaned


def test_a_prompt_counts_as_its_cleaned_self(companion: Path, open_clip: OpenClip, tmp_path: Path) -> None:
    file = save(open_clip, tmp_path / "hps" / "HPS_v2_compressed.pt")
    scorer = HumanPreferenceScore(scorer_source("hps", "real", {"hps": file, "clip": companion}), "cpu")
    first, second, other = scorer.encode_prompts(["tom &amp; “star”", 'tom & "star"', "tom amp star"])
    torch.testing.assert_close(first, second)
    assert not torch.allclose(first, other, atol=1e-3)


def test_half_precision_checkpoint_is_scored_in_float32(
    open_clip: OpenClip, companion: Path, tmp_path: Path
) -> None:
    file = save(open_clip, tmp_path / "hps" / "HPS_v2_compressed.pt", Tensor.half)
    source = scorer_source("hps", "real", {"hps": file, "clip": companion})
    found = HumanPreferenceScore(source, "cpu").score(pictures(), PROMPTS)
    rounded = OpenClip(open_clip.token_embedding.num_embeddings).eval()
    rounded.load_state_dict({name: t.half().float() for name, t in open_clip.state_dict().items()})
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, independent_scores(rounded, companion), rtol=1e-5, atol=1e-5)


def test_hps_from_a_folder(open_clip: OpenClip, companion: Path, hub: AddToHub, tmp_path: Path) -> None:
    folder = tmp_path / "hps"
    save(open_clip, folder / "HPS_v2.1_compressed.pt")
    with pytest.raises(UserError, match=r"neither HPS_v2_compressed\.pt nor config\.json.*xswu/HPSv2"):
        HumanPreferenceScore(scorer_source("hps", "real", {"hps": folder}), "cpu")
    with pytest.raises(UserError, match=r"is hps-v2\.1, not hps"):
        HumanPreferenceScore(scorer_source("hps", "real", {"hps": folder / "HPS_v2.1_compressed.pt"}), "cpu")
    with pytest.raises(
        UserError, match=f"tokenizer.* of hps-v2.1 .*hf download {CLIP_H}.*--scorer clip=FOLDER"
    ):
        HumanPreferenceScore21(scorer_source("hps-v2.1", "real", {"hps-v2.1": folder}), "cpu")
    for file in companion.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    scorer = HumanPreferenceScore21(scorer_source("hps-v2.1", "real", {"hps-v2.1": folder}), "cpu")
    assert scorer.card["model"] == "HPS_v2.1_compressed.pt"
    assert len(scorer.card["sha256"]) == 64


def test_what_is_no_checkpoint_of_this_clip(open_clip: OpenClip, companion: Path, tmp_path: Path) -> None:
    state = open_clip.state_dict()
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(state | {"visual.head.weight": torch.zeros(2)}, tmp_path / "other.pt")
    (tmp_path / "html.pt").write_text("<html>404</html>")
    whole = save(open_clip, tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    for name in ("list.pt", "other.pt", "html.pt", "cut.pt"):
        with pytest.raises(UserError, match=f"{name} is no checkpoint of open_clip"):
            load_open_clip(tmp_path / name, companion)
    torch.save({name: t for name, t in state.items() if name != "visual.proj"}, tmp_path / "less.pt")
    torch.save(state | {"visual.proj": torch.zeros(16, 8)}, tmp_path / "narrow.pt")
    for name in ("less.pt", "narrow.pt"):
        with pytest.raises(UserError, match=f"{name} does not fit"):
            load_open_clip(tmp_path / name, companion)


def test_a_pickle_that_runs_code_is_not_run(companion: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return Path.touch, (tmp_path / "touched",)

    torch.save({"state_dict": Attack()}, tmp_path / "attack.pt")
    with pytest.raises(UserError, match="no checkpoint of open_clip"):
        load_open_clip(tmp_path / "attack.pt", companion)
    assert not (tmp_path / "touched").exists()
