"""ImageReward: our scorer on a checkpoint in its authors' layout is the same function as one written out plainly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hub_cache import REVISION, AddToHub, make_hub
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import BertTokenizer

from ddecli.core.errors import UserError
from ddecli.core.files import sha256_file
from ddecli.scoring.blip import load_image_reward
from ddecli.scoring.imagereward import ImageReward
from ddecli.scoring.published import BERT, IMAGE_REWARD, scorer_source
from ddecli.scoring.score import ScoringSettings, load_scorer, score_images
from ddecli.scoring.sources import read_source

State = dict[str, Tensor]
WORDS = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("a", "red", "green", "blue", "circle", "star", "on", "white", ",", "##s"),
]
LENGTH = 35
WIDTH, HEADS, LAYERS, PATCH, SIZE = (
    128,
    2,
    2,
    8,
    32,
)  # of the picture's transformer; its heads have 64 numbers
TEXT = {
    "architectures": ["BertModel"],
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 48,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 40,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": len(WORDS) + 2,
    "encoder_width": 768,  # as published: the code replaces it by the width of the picture's transformer
    "add_cross_attention": True,
}
PROMPTS = ["a red circle", "A blue star, on white circles", "green " * 50, "a 絵 [ENC] star"]


def random_state() -> State:
    """Every tensor random, so that no two can be exchanged unseen."""
    torch.manual_seed(3)
    state: State = {}

    def linear(name: str, inputs: int, outputs: int, gain: float = 1.5) -> None:
        state[f"{name}.weight"] = torch.randn(outputs, inputs) * gain / inputs**0.5
        state[f"{name}.bias"] = torch.randn(outputs) * 0.3

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + 0.3 * torch.randn(width)
        state[f"{name}.bias"] = 0.3 * torch.randn(width)

    vision = "blip.visual_encoder"
    small = 0.01  # so small that the norms' epsilon counts
    state[f"{vision}.cls_token"] = torch.randn(1, 1, WIDTH) * small
    state[f"{vision}.pos_embed"] = torch.randn(1, (SIZE // PATCH) ** 2 + 1, WIDTH) * small
    state[f"{vision}.patch_embed.proj.weight"] = torch.randn(WIDTH, 3, PATCH, PATCH) * 0.1 * small
    state[f"{vision}.patch_embed.proj.bias"] = torch.randn(WIDTH) * small
    for layer in range(LAYERS):
        block = f"{vision}.blocks.{layer}"
        norm(f"{block}.norm1", WIDTH)
        linear(f"{block}.attn.qkv", WIDTH, 3 * WIDTH)
        linear(f"{block}.attn.proj", WIDTH, WIDTH)
        norm(f"{block}.norm2", WIDTH)
        linear(f"{block}.mlp.fc1", WIDTH, 160)
        linear(f"{block}.mlp.fc2", 160, WIDTH)
    norm(f"{vision}.norm", WIDTH)

    text, width, inner = "blip.text_encoder", TEXT["hidden_size"], TEXT["intermediate_size"]
    state[f"{text}.embeddings.position_ids"] = torch.arange(40)[None]
    state[f"{text}.embeddings.word_embeddings.weight"] = torch.randn(TEXT["vocab_size"], width)
    state[f"{text}.embeddings.position_embeddings.weight"] = torch.randn(40, width)
    norm(f"{text}.embeddings.LayerNorm", width)
    for layer in range(TEXT["num_hidden_layers"]):
        block = f"{text}.encoder.layer.{layer}"
        for name, seen in (("attention", width), ("crossattention", WIDTH)):
            linear(f"{block}.{name}.self.query", width, width)
            linear(f"{block}.{name}.self.key", seen, width)
            linear(f"{block}.{name}.self.value", seen, width)
            linear(f"{block}.{name}.output.dense", width, width)
            norm(f"{block}.{name}.output.LayerNorm", width)
        linear(f"{block}.intermediate.dense", width, inner)
        linear(f"{block}.output.dense", inner, width)
        norm(f"{block}.output.LayerNorm", width)
    linear("blip.vision_proj", WIDTH, 8)
    linear("blip.text_proj", width, 8)
    sizes = (width, 1024, 128, 64, 16, 1)
    for number, before, after in zip((0, 2, 4, 6, 7), sizes, sizes[1:], strict=False):
        linear(f"mlp.layers.{number}", before, after, gain=1.2)
    return state


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """Head by head: (L, E) queries, (S, E) keys and values, (S,) mask to (L, E)."""
    found = []
    for q, k, v in zip(query.chunk(heads, -1), key.chunk(heads, -1), value.chunk(heads, -1), strict=True):
        scores = q @ k.T / math.sqrt(q.shape[-1])
        if mask is not None:
            scores = scores - 10_000 * (1 - mask)
        found.append(scores.softmax(-1) @ v)
    return torch.cat(found, -1)


class Plain:
    """The published network for one picture and one prompt, straight from the tensors' published names."""

    def __init__(self, state: State) -> None:
        self.state = state

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name: str, x: Tensor, epsilon: float) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + epsilon).sqrt()
        return x * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def picture(self, pixels: Tensor) -> Tensor:
        """Pixels (3, SIZE, SIZE) to states of the class token and the patches, row by row."""
        vision = "blip.visual_encoder"
        kernel = self.state[f"{vision}.patch_embed.proj.weight"]
        rows = [self.state[f"{vision}.cls_token"][0, 0]]
        for top in range(0, SIZE, PATCH):
            for left in range(0, SIZE, PATCH):
                patch = pixels[:, top : top + PATCH, left : left + PATCH]
                rows.append((kernel * patch).sum((1, 2, 3)) + self.state[f"{vision}.patch_embed.proj.bias"])
        x = torch.stack(rows) + self.state[f"{vision}.pos_embed"][0]
        for layer in range(LAYERS):
            block = f"{vision}.blocks.{layer}"
            qkv = self.linear(f"{block}.attn.qkv", self.norm(f"{block}.norm1", x, 1e-6))
            x = x + self.linear(f"{block}.attn.proj", attention(*qkv.chunk(3, -1), HEADS))
            inner = self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.norm2", x, 1e-6))
            x = x + self.linear(f"{block}.mlp.fc2", functional.gelu(inner))
        return self.norm(f"{vision}.norm", x, 1e-6)

    def attend(self, block: str, x: Tensor, seen: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            self.linear(f"{block}.self.{name}", states)
            for name, states in (("query", x), ("key", seen), ("value", seen))
        )
        read = self.linear(
            f"{block}.output.dense", attention(query, key, value, TEXT["num_attention_heads"], mask)
        )
        return self.norm(f"{block}.output.LayerNorm", read + x, 1e-12)

    def reward(self, pixels: Tensor, tokens: list[int]) -> Tensor:
        text, patches = "blip.text_encoder", self.picture(pixels)
        padded = torch.tensor(tokens + [0] * (LENGTH - len(tokens)))
        mask = torch.tensor([1.0] * len(tokens) + [0.0] * (LENGTH - len(tokens)))
        x = self.state[f"{text}.embeddings.word_embeddings.weight"][padded]
        x = x + self.state[f"{text}.embeddings.position_embeddings.weight"][:LENGTH]
        x = self.norm(f"{text}.embeddings.LayerNorm", x, 1e-12)
        for layer in range(TEXT["num_hidden_layers"]):
            block = f"{text}.encoder.layer.{layer}"
            x = self.attend(f"{block}.attention", x, x, mask)
            x = self.attend(f"{block}.crossattention", x, patches, None)
            inner = functional.gelu(self.linear(f"{block}.intermediate.dense", x))
            x = self.norm(f"{block}.output.LayerNorm", self.linear(f"{block}.output.dense", inner) + x, 1e-12)
        y = x[0]
        for number in (0, 2, 4, 6, 7):
            y = self.linear(f"mlp.layers.{number}", y)
        return (y[0] - 0.16717362830052426) / 1.0333394966054072


def tokens_of(prompt: str) -> list[int]:
    """BERT's tokens of the prompts above: lower case, commas and Chinese characters apart, cut to 35."""
    numbers = {word: number for number, word in enumerate([*WORDS, "[dec]", "[enc]"])}
    found = []
    for word in prompt.lower().replace(",", " , ").split():
        if word in numbers:
            found.append(numbers[word])
        elif word.endswith("s") and word[:-1] in numbers:
            found += [numbers[word[:-1]], numbers["##s"]]
        else:
            found.append(numbers["[UNK]"])
    return [numbers["[CLS]"], *found[: LENGTH - 2], numbers["[SEP]"]]


def pixels_of(image: Image.Image) -> Tensor:
    """The shorter side bicubically to SIZE, the middle of the longer one, CLIP's mean and deviation."""
    scale = SIZE / min(image.size)
    width, height = (int(side * scale) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    image = image.crop((left, top, left + SIZE, top + SIZE))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    deviation = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    return (pixels - mean) / deviation


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (64, 64), (48, 32), (32, 40)]
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


def plain_rewards(state: State) -> Tensor:
    network = Plain(state)
    pairs = zip(pictures(), PROMPTS, strict=True)
    return torch.stack([network.reward(pixels_of(image), tokens_of(prompt)) for image, prompt in pairs])


@pytest.fixture(scope="module")
def state() -> State:
    return random_state()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer as bert-base-uncased's repository has it, with few words."""
    folder = tmp_path_factory.mktemp("bert")
    BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)}).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true, "model_max_length": 512}')
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    return make_hub(tmp_path / "cache", monkeypatch)


@pytest.fixture
def published(state: State, tmp_path: Path) -> Path:
    """Checkpoint and configuration, without a tokenizer."""
    return save(state, tmp_path / "published")


def save(state: State, folder: Path) -> Path:
    folder.mkdir()
    torch.save(state, folder / "ImageReward.pt")
    (folder / "med_config.json").write_text(json.dumps(TEXT))
    return folder


def from_folder(folder: Path) -> ImageReward:
    return ImageReward(scorer_source("imagereward", "real", {"imagereward": folder}), "cpu")


def test_rewards_are_those_of_the_plain_network(
    state: State, published: Path, bert: Path, hub: AddToHub
) -> None:
    hub(IMAGE_REWARD, published)
    hub(BERT, bert)
    scorer = load_scorer("imagereward", scorer_source("imagereward", "real"), "cpu")
    expected = plain_rewards(state)
    found = scorer.score(pictures(), PROMPTS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    turned = scorer.score(pictures(), PROMPTS[1:] + PROMPTS[:1])
    assert ((turned - found).abs() > 0.01).all()  # the prompt counts
    turned = scorer.score(pictures()[1:] + pictures()[:1], PROMPTS)
    assert ((turned - found).abs() > 0.01).all()  # and so does the picture
    assert scorer.card == {
        "name": "imagereward",
        "model": "THUDM/ImageReward/ImageReward.pt",
        "revision": REVISION,
        "scale": "(reward - 0.1672) / 1.0333, about -2 to 2",
        "preprocessing": {
            "resize": {"shortest_edge": SIZE},
            "crop": {"height": SIZE, "width": SIZE},
            "resample": "bicubic",
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
            "max_tokens": LENGTH,
        },
    }


def test_half_precision_checkpoint_is_scored_in_float32(state: State, bert: Path, tmp_path: Path) -> None:
    halves = {name: tensor.half() for name, tensor in state.items()}
    folder = save(halves, tmp_path / "half")
    for file in bert.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    expected = plain_rewards({name: tensor.float() for name, tensor in halves.items()})
    scorer = from_folder(folder)
    torch.testing.assert_close(scorer.score(pictures(), PROMPTS), expected, rtol=1e-5, atol=1e-5)
    assert scorer.card["sha256"] == sha256_file(folder / "ImageReward.pt")


def test_a_folder_of_images_is_scored_each_with_its_own_prompt(
    state: State, published: Path, bert: Path, hub: AddToHub, tmp_path: Path
) -> None:
    """Also where a batch holds several prompts and a picture is broken."""
    hub(BERT, bert)
    images = tmp_path / "images"
    images.mkdir()
    for number, (image, prompt) in enumerate(zip(pictures(), PROMPTS, strict=True)):
        image.save(images / f"{number}.png")
        (images / f"{number}.txt").write_text(prompt)
    (images / "1.png").write_text("<html>404</html>")
    settings = ScoringSettings(
        ("imagereward",), "real", {"imagereward": published}, batch_size=3, max_bad=0.5
    )
    expected = plain_rewards(state)[[0, 2, 3]]
    for each in (settings, replace(settings, batch_size=1)):
        found = score_images(read_source([images]), each, None).metrics["imagereward"]
        np.testing.assert_allclose(found.score, expected.numpy(), rtol=1e-5, atol=1e-5)


def test_what_is_missing_is_said(published: Path, hub: AddToHub, tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=rf"tokenizer.* of imagereward .*hf download {BERT} tokenizer_config\.json tokenizer\.json "
        r".*--scorer imagereward=FOLDER, with ImageReward\.pt and med_config\.json",
    ):
        from_folder(published)
    with pytest.raises(
        UserError, match=r"weights of imagereward .*hf download THUDM/ImageReward ImageReward\.pt med_config"
    ):
        load_scorer("imagereward", scorer_source("imagereward", "real"), "cpu")
    (published / "med_config.json").unlink()
    for given in (published, published / "ImageReward.pt"):
        with pytest.raises(
            UserError, match=r"\(no med_config\.json\).*ImageReward\.pt and med_config.*THUDM/ImageReward"
        ):
            from_folder(given)
    (published / "config.json").write_text("{}")  # no CLIPModel folder will do instead
    (published / "model.safetensors").touch()
    (published / "ImageReward.pt").rename(published / "HPS_v2_compressed.pt")
    with pytest.raises(UserError, match=r"\(no ImageReward\.pt\)"):
        from_folder(published)
    with pytest.raises(UserError, match="is hps, not imagereward"):
        from_folder(published / "HPS_v2_compressed.pt")


def test_another_tokenizer_is_refused(published: Path, hub: AddToHub, tmp_path: Path) -> None:
    words = {word: number for number, word in enumerate(WORDS[:-1])}
    BertTokenizer(vocab=words).save_pretrained(tmp_path / "other")
    hub(BERT, tmp_path / "other")
    with pytest.raises(UserError, match="has 16 tokens and the model 17"):
        from_folder(published)


def test_what_is_no_checkpoint_of_image_reward(state: State, published: Path, tmp_path: Path) -> None:
    config = published / "med_config.json"
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save(state | {"blip.visual_encoder.head.weight": torch.zeros(2)}, tmp_path / "other.pt")
    torch.save({"state_dict": state}, tmp_path / "nested.pt")
    (tmp_path / "html.pt").write_text("<html>404</html>")
    whole = (published / "ImageReward.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    for name in ("list.pt", "other.pt", "nested.pt", "html.pt", "cut.pt"):
        with pytest.raises(UserError, match=f"{name} is no checkpoint of ImageReward"):
            load_image_reward(tmp_path / name, config)

    query = "blip.text_encoder.encoder.layer.1.crossattention.self.query.weight"
    for number, changed in enumerate(
        (
            {name: tensor for name, tensor in state.items() if name != query},
            {name: tensor for name, tensor in state.items() if name != "mlp.layers.7.bias"},
            state | {query: torch.zeros(32, 16)},
            {name: tensor for name, tensor in state.items() if "blocks.0.norm2" not in name},
        )
    ):
        torch.save(changed, tmp_path / f"{number}.pt")
        with pytest.raises(UserError, match=rf"{number}\.pt does not fit"):
            load_image_reward(tmp_path / f"{number}.pt", config)
    for settings in (TEXT | {"hidden_size": 64}, TEXT | {"num_hidden_layers": 1}, {}):
        config.write_text(json.dumps(settings))
        with pytest.raises(UserError, match=r"does not fit .*med_config\.json"):
            load_image_reward(published / "ImageReward.pt", config)


def test_a_pickle_that_runs_code_is_not_run(published: Path, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
            return Path.touch, (tmp_path / "touched",)

    torch.save({"mlp.layers.0.bias": Attack()}, published / "ImageReward.pt")
    with pytest.raises(UserError, match="no checkpoint of ImageReward"):
        load_image_reward(published / "ImageReward.pt", published / "med_config.json")
    assert not (tmp_path / "touched").exists()
