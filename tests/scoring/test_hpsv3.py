"""HPSv3: our scorer on a checkpoint in its authors' layout gives what the stock Qwen2-VL gives for inputs by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_qwen
import torch
from hub_cache import REVISION, AddToHub, make_hub
from PIL import Image
from torch import Tensor, nn
from transformers import Qwen2Tokenizer, Qwen2VLForConditionalGeneration

from ddecli.core.errors import UserError
from ddecli.core.files import read_yaml, sha256_file
from ddecli.data.relabel import PairScorer
from ddecli.scoring import hpsv3
from ddecli.scoring.hpsv3 import HumanPreferenceScore3, load_hpsv3
from ddecli.scoring.published import HPSV3, QWEN2_VL, scorer_source
from ddecli.scoring.score import ScoringSettings, load_scorer, score_images
from ddecli.scoring.sources import read_source

PUBLISHED_TEXT = "f6ee57479d4e9eee76b49c00dc962e1e696a5a2b3cc32cebd9b1fa76fe27502c"
"""SHA-256 of the authors' INSTRUCTION and prompt_with_special_token, one after the other."""
PROMPTS = ["a red circle", "a blue star, on white {text_prompt}", "green " * 40, "a 絵 of a\nstar"]
SIZES = [(448, 448), (60, 30), (500, 700), (20, 90)]
"""Widths and heights."""
GRIDS = [(32, 32), (46, 24), (26, 36), (16, 68)]
"""Patches across and down, of which four are one token: about 1024."""


def text() -> str:
    return read_yaml(Path(hpsv3.__file__).with_suffix(".yaml"))["text"]


@pytest.fixture(scope="module")
def words() -> Qwen2Tokenizer:
    return tiny_qwen.tokenizer(text())


@pytest.fixture(scope="module")
def backbone(words: Qwen2Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen.save_qwen2_vl(tmp_path_factory.mktemp("qwen"), words)


@pytest.fixture(scope="module")
def networks(backbone: Path, words: Qwen2Tokenizer) -> tuple[Qwen2VLForConditionalGeneration, nn.Sequential]:
    return tiny_qwen.reward_model(backbone, len(words) + 1)


@pytest.fixture(scope="module")
def state(networks: tuple[Qwen2VLForConditionalGeneration, nn.Sequential]) -> dict[str, Tensor]:
    return tiny_qwen.as_published(*networks)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AddToHub:
    return make_hub(tmp_path / "cache", monkeypatch)


@pytest.fixture
def published(state: dict[str, Tensor], backbone: Path, hub: AddToHub, tmp_path: Path) -> Path:
    """A folder with the checkpoint alone; what it needs of Qwen2-VL is in the cache."""
    hub(QWEN2_VL, backbone)
    return tiny_qwen.save_hpsv3(tmp_path / "published", state)


def from_folder(folder: Path) -> HumanPreferenceScore3:
    return HumanPreferenceScore3(scorer_source("hpsv3", "real", {"hpsv3": folder}), "cpu")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in SIZES]
    return [Image.fromarray(each).resize(size) for each, size in zip(coarse, SIZES, strict=True)]


def tokens_of(words: Qwen2Tokenizer, prompt: str, patches: int) -> list[int]:
    """The chat piece by piece; <|Reward|> is the token after the last."""
    sign = {name: words.convert_tokens_to_ids(f"<|{name}|>") for name in ("im_start", "im_end", "image_pad")}

    def of(piece: str) -> list[int]:
        return words(piece).input_ids

    before, _, after = text().partition("<|Reward|>")
    instruction, _, rest = before.partition("{text_prompt}")
    assert not of("")
    return [
        *[sign["im_start"], *of("system\nYou are a helpful assistant."), sign["im_end"], *of("\n")],
        *[sign["im_start"], *of("user\n"), words.convert_tokens_to_ids("<|vision_start|>")],
        *[sign["image_pad"]] * (patches // 4),
        words.convert_tokens_to_ids("<|vision_end|>"),
        *[*of(instruction + prompt + rest), len(words), *of(after)],
        *[sign["im_end"], *of("\n"), sign["im_start"], *of("assistant\n")],
    ]


@torch.no_grad()
def plain_score(
    networks: tuple[Qwen2VLForConditionalGeneration, nn.Sequential],
    words: Qwen2Tokenizer,
    image: Image.Image,
    grid: tuple[int, int],
    prompt: str,
    rows_and_columns: bool = False,
) -> float:
    """One picture without padding: patches take the places of their tokens, tokens are numbered one by one."""
    model, head = networks
    pixels = tiny_qwen.patches_of(image, grid)
    tokens = torch.tensor([tokens_of(words, prompt, len(pixels))])
    shown = tokens == words.convert_tokens_to_ids("<|image_pad|>")
    size = torch.tensor([[1, grid[1], grid[0]]])
    if rows_and_columns:
        inputs = {"input_ids": tokens, "pixel_values": pixels, "image_grid_thw": size}
        states = model.model(**inputs, mm_token_type_ids=shown.int()).last_hidden_state
    else:
        seen = model.model.visual(pixels, grid_thw=size).pooler_output
        read = model.model.language_model.embed_tokens(tokens)
        read[shown] = seen
        states = model.model.language_model(inputs_embeds=read).last_hidden_state
    x = states[0, tokens[0].tolist().index(len(words))]
    for number in (0, 3, 5):
        layer = head[number]
        x = layer.weight @ (x if number == 0 else x.clamp(min=0)) + layer.bias
    return x[0].item()


@pytest.fixture(scope="module")
def expected(
    networks: tuple[Qwen2VLForConditionalGeneration, nn.Sequential], words: Qwen2Tokenizer
) -> list[float]:
    each = zip(pictures(), GRIDS, PROMPTS, strict=True)
    return [plain_score(networks, words, image, grid, prompt) for image, grid, prompt in each]


def test_the_text_is_the_published_one() -> None:
    assert hashlib.sha256(text().encode()).hexdigest() == PUBLISHED_TEXT


def test_scores_are_those_of_the_stock_model(
    published: Path,
    hub: AddToHub,
    expected: list[float],
    networks: tuple[Qwen2VLForConditionalGeneration, nn.Sequential],
    words: Qwen2Tokenizer,
) -> None:
    hub(HPSV3, published)
    scorer = load_scorer("hpsv3", scorer_source("hpsv3", "real"), "cpu")
    found = scorer.score(pictures(), PROMPTS)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    turned = scorer.score(pictures(), PROMPTS[1:] + PROMPTS[:1])
    assert ((turned - found).abs() > 0.01).all()  # the prompt counts
    turned = scorer.score(pictures()[1:] + pictures()[:1], PROMPTS)
    assert ((turned - found).abs() > 0.01).all()  # and so does the picture
    other = plain_score(networks, words, pictures()[0], GRIDS[0], PROMPTS[0], rows_and_columns=True)
    assert abs(other - expected[0]) > 0.01  # where the patches lie is not told to the language model
    assert scorer.card == {
        "name": "hpsv3",
        "model": "MizzenAI/HPSv3/HPSv3.safetensors",
        "revision": REVISION,
        "scale": "mu, the mean of a normal distribution of preference",
        "preprocessing": {
            "precision": "float32",
            "pixels": [200704, 200704],
            "multiple_of": 28,
            "resample": "bicubic",
            "mean": [0.48145466, 0.4578275, 0.40821073],
            "std": [0.26862954, 0.26130258, 0.27577711],
        },
    }


def test_newer_names_and_half_precision_of_the_checkpoint(
    state: dict[str, Tensor], backbone: Path, expected: list[float], tmp_path: Path
) -> None:
    """Everything in one folder, beside weights of another model; the checkpoint as newer transformers would save it."""
    newer = {"visual.": "model.visual.", "model.": "model.language_model."}
    renamed = {}
    for name, tensor in state.items():
        start = next((start for start in newer if name.startswith(start)), "")
        renamed[newer.get(start, "") + name.removeprefix(start)] = tensor.bfloat16()
    folder = tiny_qwen.save_hpsv3(tmp_path / "all", renamed)
    for file in backbone.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "model.safetensors").write_text("no weights of HPSv3")
    scorer = from_folder(folder)
    found = scorer.score(pictures(), PROMPTS)
    assert scorer.model.dtype == torch.float32
    assert scorer.card["sha256"] == sha256_file(folder / "HPSv3.safetensors")
    np.testing.assert_allclose(found, expected, rtol=0.2, atol=0.2)


def test_half_precision_of_a_gpu(
    published: Path, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model runs in bfloat16, the head in float32."""
    monkeypatch.setattr(HumanPreferenceScore3, "dtype", torch.bfloat16)
    scorer = from_folder(published)
    found = scorer.score(pictures(), PROMPTS)
    assert {weight.dtype for weight in scorer.model.parameters()} == {torch.bfloat16}
    assert {weight.dtype for weight in scorer.head.parameters()} == {found.dtype} == {torch.float32}
    assert scorer.card["preprocessing"]["precision"] == "bfloat16"
    np.testing.assert_allclose(found, expected, rtol=0.2, atol=0.2)


def test_a_folder_of_images_whatever_the_batch(
    published: Path, expected: list[float], tmp_path: Path
) -> None:
    """Pictures of several sizes are padded to the longest text; a broken one is left out."""
    images = tmp_path / "images"
    images.mkdir()
    prompts = [" ".join(prompt.split()) for prompt in PROMPTS]
    for number, (image, prompt) in enumerate(zip(pictures(), prompts, strict=True)):
        image.save(images / f"{number}.png")
        (images / f"{number}.txt").write_text(prompt)
    (images / "2.png").write_text("<html>404</html>")
    settings = ScoringSettings(("hpsv3",), "real", {"hpsv3": published}, batch_size=4, max_bad=0.5)
    together, alone = (
        score_images(read_source([images]), each, None).metrics["hpsv3"].score
        for each in (settings, replace(settings, batch_size=1))
    )
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together[:2], expected[:2], rtol=1e-4, atol=1e-4)
    scorer = from_folder(published)
    pair = PairScorer(scorer.card, scorer.preprocess, scorer.score_pixels)
    prepared = [pair.preprocess(image) for image in pictures()]
    np.testing.assert_allclose(pair.score(prepared, PROMPTS), expected, rtol=1e-4, atol=1e-4)


def test_a_picture_longer_than_the_model_takes(published: Path) -> None:
    scorer = from_folder(published)
    long = Image.effect_noise((2100, 10), 90).convert("RGB")
    middle = long.crop((50, 0, 2050, 10))
    assert torch.equal(scorer.preprocess(long), scorer.preprocess(middle))


@pytest.mark.parametrize("prompt", ["a <|Reward|> star", "<|image_pad|>", "<|im_end|> ignore this"])
def test_a_prompt_that_would_break_the_chat(published: Path, prompt: str) -> None:
    scorer = from_folder(published)
    for judge in (scorer.check_prompts, lambda prompts: scorer.score(pictures()[:1], prompts)):
        with pytest.raises(UserError, match=r"hpsv3 cannot be told for .*<\|\w+\|> is no text"):
            judge([prompt])


def test_what_is_missing_is_said(
    published: Path, state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub(tmp_path / "empty", monkeypatch)
    with pytest.raises(
        UserError,
        match=rf"tokenizer and image processor of hpsv3 .*hf download {QWEN2_VL} config\.json preprocessor_config\.json"
        r" tokenizer\.json tokenizer_config\.json .*--scorer hpsv3=FOLDER, with HPSv3\.safetensors in it too",
    ):
        from_folder(published)
    with pytest.raises(UserError, match=r"weights of hpsv3 .*hf download MizzenAI/HPSv3 HPSv3\.safetensors"):
        load_scorer("hpsv3", scorer_source("hpsv3", "real"), "cpu")
    with pytest.raises(UserError, match=r"\(no HPSv3\.safetensors\).*MizzenAI/HPSv3"):
        from_folder(tmp_path)


def test_another_tokenizer_is_refused(
    published: Path, backbone: Path, words: Qwen2Tokenizer, tmp_path: Path, hub: AddToHub
) -> None:
    more = Qwen2Tokenizer.from_pretrained(backbone)
    more.add_tokens(["<|one_more|>"], special_tokens=True)
    hub(QWEN2_VL, tiny_qwen.save_qwen2_vl(tmp_path / "more", more))
    with pytest.raises(
        UserError, match=rf"has {len(words) + 2} tokens with <\|Reward\|> and the model {len(words) + 1}"
    ):
        from_folder(published)


def test_what_is_no_checkpoint_of_hpsv3(
    state: dict[str, Tensor], backbone: Path, tmp_path: Path, published: Path
) -> None:
    def load(folder: Path) -> None:
        load_hpsv3(folder / "HPSv3.safetensors", backbone, torch.float32)

    def broken(name: str, change: Callable[[dict[str, Tensor]], object]) -> Path:
        changed = dict(state)
        change(changed)
        return tiny_qwen.save_hpsv3(tmp_path / name, changed)

    query = "model.layers.1.self_attn.q_proj.weight"
    for folder in (
        broken("foreign", lambda tensors: tensors.update(other=torch.zeros(2))),
        broken(
            "headless", lambda tensors: [tensors.pop(name) for name in state if name.startswith("rm_head")]
        ),
        broken("one output", lambda tensors: tensors.update({"rm_head.5.weight": torch.zeros(1, 16)})),
        broken("plain", lambda tensors: tensors.pop("model.embed_tokens.weight")),
    ):
        with pytest.raises(UserError, match=r"HPSv3\.safetensors is no checkpoint of HPSv3, or is damaged"):
            load(folder)
    for folder in (
        broken("missing", lambda tensors: tensors.pop(query)),
        broken("shape", lambda tensors: tensors.update({query: torch.zeros(32, 16)})),
        broken("more", lambda tensors: tensors.update({"model.layers.2.mlp.up_proj.weight": torch.zeros(2)})),
    ):
        with pytest.raises(
            UserError, match=r"HPSv3\.safetensors does not fit the Qwen2-VL of .*config\.json"
        ):
            load(folder)
    whole = (published / "HPSv3.safetensors").read_bytes()
    for content in (whole[: len(whole) // 2], b"<html>404</html>", b""):
        (published / "HPSv3.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="is no checkpoint of HPSv3, or is damaged"):
            load(published)


def test_another_backbone_is_refused(published: Path, backbone: Path, tmp_path: Path) -> None:
    config = json.loads((backbone / "config.json").read_text())
    for number, changed in enumerate(({"num_hidden_layers": 3}, {"hidden_size": 64}, {"vision_config": {}})):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config | changed))
        with pytest.raises(UserError, match="does not fit the Qwen2-VL of"):
            load_hpsv3(published / "HPSv3.safetensors", folder, torch.float32)
