"""VQAScore: our probabilities are those of the stock Qwen3-VL when it generates a token, as GenEval 2's tool does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_qwen
import torch
from hub_cache import REVISION, make_hub
from PIL import Image
from transformers import Qwen2Tokenizer, Qwen3VLForConditionalGeneration

from ddecli.core.errors import UserError
from ddecli.scoring.published import QWEN3_VL, scorer_source
from ddecli.scoring.score import ScoringSettings, load_scorer, score_images
from ddecli.scoring.sources import read_source
from ddecli.scoring.vqascore import VqaScore

CORPUS = (
    "Yes yes Yes yes Does this image show a red circle? Answer the question with Yes or No. user assistant "
    * 20
)
PROMPTS = ["a red circle", "a {blue} star, on white", "green " * 30, "a 絵 of a star"]
SIZES = [(256, 256), (60, 30), (500, 700), (20, 90)]
"""Widths and heights."""
GRIDS = [(16, 16), (24, 12), (32, 44), (8, 34)]
"""Patches across and down, of which four are one token."""


@pytest.fixture(scope="module")
def words() -> Qwen2Tokenizer:
    return tiny_qwen.tokenizer(CORPUS)


@pytest.fixture(scope="module")
def judge(words: Qwen2Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen.save_qwen3_vl(tmp_path_factory.mktemp("judge") / "qwen", words)


def from_folder(folder: Path) -> VqaScore:
    return VqaScore(scorer_source("vqascore", "real", {"vqascore": folder}), "cpu")


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    coarse = [rng.integers(0, 256, (6, 6, 3), dtype=np.uint8) for _ in SIZES]
    return [Image.fromarray(each).resize(size) for each, size in zip(coarse, SIZES, strict=True)]


@pytest.fixture(scope="module")
def expected(judge: Path, words: Qwen2Tokenizer) -> list[float]:
    model = Qwen3VLForConditionalGeneration.from_pretrained(judge, dtype=torch.float32)
    yes = [words(text).input_ids[0] for text in ("Yes", "yes", " Yes", " yes")]
    assert len(set(yes)) == 4
    found = []
    for image, grid, prompt in zip(pictures(), GRIDS, PROMPTS, strict=True):
        question = 'Does this image show "' + prompt + '"? Answer the question with Yes or No.'
        next_token = tiny_qwen.generated(model, words, image, grid, question)
        found.append(sum(next_token[token].item() for token in yes))
    return found


def test_probabilities_are_those_of_the_stock_model(
    judge: Path, expected: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hub(tmp_path / "cache", monkeypatch)(QWEN3_VL, judge)
    scorer = load_scorer("vqascore", scorer_source("vqascore", "real"), "cpu")
    found = scorer.score(pictures(), PROMPTS)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    turned = scorer.score(pictures(), PROMPTS[1:] + PROMPTS[:1])
    assert ((turned / found - 1).abs() > 0.01).all()  # the prompt counts
    turned = scorer.score(pictures()[1:] + pictures()[:1], PROMPTS)
    assert ((turned / found - 1).abs() > 0.01).all()  # and so does the picture
    assert scorer.card == {
        "name": "vqascore",
        "model": "Qwen/Qwen3-VL-8B-Instruct",
        "revision": REVISION,
        "scale": "probability of yes, 0 to 1",
        "preprocessing": {
            "precision": "float32",
            "pixels": [65536, 16777216],
            "multiple_of": 32,
            "resample": "bicubic",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
    }


def test_a_folder_of_images_whatever_the_batch(judge: Path, expected: list[float], tmp_path: Path) -> None:
    """Texts and pictures of several lengths are padded; a broken picture is left out."""
    images = tmp_path / "images"
    images.mkdir()
    for number, (image, prompt) in enumerate(zip(pictures(), PROMPTS, strict=True)):
        image.save(images / f"{number}.png")
        (images / f"{number}.txt").write_text(prompt)
    (images / "2.png").write_text("<html>404</html>")
    settings = ScoringSettings(("vqascore",), "real", {"vqascore": judge}, batch_size=4, max_bad=0.5)
    for each in (settings, replace(settings, batch_size=1)):
        found = score_images(read_source([images]), each, None).metrics["vqascore"].score
        np.testing.assert_allclose(found, [expected[0], expected[1], expected[3]], rtol=1e-4)


def test_a_token_that_several_ways_to_write_begin_with_counts_once(judge: Path) -> None:
    scorer = from_folder(judge)
    pixels = [scorer.preprocess(image) for image in pictures()[:2]]
    once = scorer.probabilities(pixels, ["What?"] * 2, [["Yes"], [" yes"]])
    twice = scorer.probabilities(pixels, ["What?"] * 2, [["Yes", "Yes"], [" yes", " yes yes"]])
    assert torch.equal(once, twice)


def test_a_small_model_whose_words_go_in_and_out_by_one_tensor(
    judge: Path, words: Qwen2Tokenizer, tmp_path: Path
) -> None:
    """As those of 2B and 4B are: the head is the embedding."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(judge, dtype=torch.float32)
    config = model.config
    config.tie_word_embeddings = True
    tied = Qwen3VLForConditionalGeneration(config)
    tied.load_state_dict(
        model.state_dict() | {"lm_head.weight": model.model.language_model.embed_tokens.weight}
    )
    for file in judge.glob("*.json"):
        if "model" not in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    tied.eval().save_pretrained(tmp_path)
    text = 'Does this image show "a"? Answer the question with Yes or No.'
    next_token = tiny_qwen.generated(tied, words, pictures()[0], GRIDS[0], text)
    expected = sum(next_token[words(way).input_ids[0]].item() for way in ("Yes", "yes", " Yes", " yes"))
    np.testing.assert_allclose(from_folder(tmp_path).score(pictures()[:1], ["a"]), [expected], rtol=1e-4)


def test_where_the_chat_template_lies(judge: Path, expected: list[float], tmp_path: Path) -> None:
    """In a file of its own, as JSON or as newer transformers saves it; that of JSON comes before the tokenizer's."""
    shutil.copytree(judge, tmp_path / "newer")
    (tmp_path / "newer" / "chat_template.json").unlink()
    (tmp_path / "newer" / "chat_template.jinja").write_text(tiny_qwen.TEMPLATE_3)
    shutil.copytree(judge, tmp_path / "both")
    (tmp_path / "both" / "chat_template.jinja").write_text("{{ messages[0]['role'] }}")
    for name in ("newer", "both"):
        found = from_folder(tmp_path / name).score(pictures()[:2], PROMPTS[:2])
        np.testing.assert_allclose(found, expected[:2], rtol=1e-4)
    (tmp_path / "newer" / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"newer is no Qwen3-VL folder .*chat.template"):
        from_folder(tmp_path / "newer")


def test_too_little_memory_is_said(judge: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = from_folder(judge)
    made = VqaScore.probabilities

    def few(self: VqaScore, pixels: list[torch.Tensor], *given: object) -> torch.Tensor:
        if len(pixels) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return made(self, pixels, *given)  # type: ignore[arg-type]

    most = 2
    monkeypatch.setattr(VqaScore, "probabilities", few)
    assert len(scorer.score(pictures()[:2], PROMPTS[:2])) == 2
    with pytest.raises(
        UserError, match=r"vqascore needs more memory .* for 3 images at once: lower --batch-size, or"
    ):
        scorer.score(pictures()[:3], PROMPTS[:3])
    most = 0
    with pytest.raises(UserError, match=r"for one image: give --device cpu, or leave vqascore out\."):
        from_folder(judge)

    def large(*given: object, **named: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 16.00 GiB.")

    monkeypatch.setattr(Qwen3VLForConditionalGeneration, "to", large)
    with pytest.raises(
        UserError, match=r"does not fit into the memory of cpu: leave vqascore out, or give --device"
    ):
        from_folder(judge)


def test_a_prompt_that_would_break_the_chat(judge: Path) -> None:
    with pytest.raises(UserError, match=r"vqascore cannot be told for .*<\|image_pad\|> is no text"):
        from_folder(judge).score(pictures()[:1], ["two <|image_pad|>"])


def test_what_is_no_judge(judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hub(tmp_path / "empty", monkeypatch)
    with pytest.raises(
        UserError, match=r"weights of vqascore .*hf download Qwen/Qwen3-VL-8B-Instruct --local-dir"
    ):
        load_scorer("vqascore", scorer_source("vqascore", "real"), "cpu")
    with pytest.raises(UserError, match=r"not in .*--scorer vqascore=FOLDER, a Qwen3-VL folder"):
        from_folder(tmp_path)

    def copied(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file in judge.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return folder

    other = copied("other kind")
    (other / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(UserError, match=r"no Qwen3-VL folder .*config\.json is of clip"):
        from_folder(other)
    few = copied("a part missing")
    sorted(few.glob("model-*.safetensors"))[0].unlink()
    with pytest.raises(UserError, match="no Qwen3-VL folder"):
        from_folder(few)
    cut = copied("cut")
    first = sorted(cut.glob("model-*.safetensors"))[0]
    first.write_bytes(first.read_bytes()[:1000])
    with pytest.raises(UserError, match="no Qwen3-VL folder"):
        from_folder(cut)
    bare = copied("bare")
    (bare / "preprocessor_config.json").unlink()
    with pytest.raises(UserError, match=r"lacks one of config\.json, preprocessor_config\.json"):
        from_folder(bare)
