"""Soft-TIFA: each question alone by the stock Qwen3-VL that generates one token, and the means that the tool makes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_qwen
import torch
from PIL import Image
from scipy.stats import gmean
from transformers import Qwen2Tokenizer, Qwen3VLForConditionalGeneration

from ddecli.core.errors import UserError
from ddecli.core.prompt_rows import write_prompt_rows
from ddecli.core.prompts import PromptRow
from ddecli.core.protocol import prompt_id
from ddecli.scoring.published import scorer_source
from ddecli.scoring.score import ScoringSettings, score_images
from ddecli.scoring.soft_tifa import SoftTifa
from ddecli.scoring.sources import read_source

CORPUS = (
    "Yes yes one One two Two 2 1 three Three 3 How many circles are in the image? Is the star blue? Answer. "
    * 20
)
LIST: list[dict[str, Any]] = [
    {
        "prompt": "a red  circle",
        "atom_count": 2,
        "vqa_list": [
            ["How many circles are in the image?", "one"],
            ["Is the circle red?", "Yes"],
            ["Are there any circles in the image?", "Yes"],
        ],
        "skills": ["count", "attribute", "object"],
    },
    {
        "prompt": "a blue star on white",
        "atom_count": 3,
        "vqa_list": [["Is the star blue?", "Yes"], ["Is the star on white?", "Yes"]],
        "skills": ["attribute", "position"],
    },
    {
        "prompt": "green",
        "atom_count": 2,
        "vqa_list": [["How many stars are here?", "three"]],
        "skills": ["count"],
    },
    {"prompt": "not sampled", "vqa_list": [["Does the dog run?", "Yes"]] * 5, "skills": ["verb"] * 5},
]
"""Of the prompts of `make_sample`, in another order than its files."""
ANSWERS = {
    "Yes": ["Yes", "yes", " Yes", " yes"],
    "one": ["one", "One", " one", " One", "1", " 1"],
    "three": ["three", "Three", " three", " Three", "3", " 3"],
}
"""`answer_list` of the tool."""


@pytest.fixture(scope="module")
def words() -> Qwen2Tokenizer:
    return tiny_qwen.tokenizer(CORPUS)


@pytest.fixture(scope="module")
def judge(words: Qwen2Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_qwen.save_qwen3_vl(tmp_path_factory.mktemp("judge") / "qwen", words, seed=5)


@pytest.fixture
def sample(make_sample: Callable[..., Path]) -> Path:
    """Two images of each of three prompts, with the list beside them."""
    folder = make_sample(per_prompt=2)
    write_prompt_rows(folder, [PromptRow(row["prompt"], row) for row in LIST])
    return folder


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    file = tmp_path / "geneval2_data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in LIST))
    return file


def settings(judge: Path, **more: Any) -> ScoringSettings:
    return replace(ScoringSettings(("soft-tifa",), "real", {"soft-tifa": judge}), **more)


def expected_of(judge: Path, words: Qwen2Tokenizer, folder: Path) -> dict[str, np.ndarray]:
    """Each metric's scores in the order of the sample's images."""
    model = Qwen3VLForConditionalGeneration.from_pretrained(judge, dtype=torch.float32)
    rows = {" ".join(row["prompt"].split()): row for row in LIST}
    found: dict[str, list[float]] = {"soft-tifa": [], "soft-tifa.am": []}
    found |= {f"soft-tifa.{skill}": [] for skill in ("object", "attribute", "count", "position")}
    for line in (folder / "metadata.jsonl").read_text().splitlines():
        told = json.loads(line)
        row = rows[told["prompt"]]
        picture = Image.open(folder / told["file_name"]).convert(
            "RGB"
        )  # 32 pixels: shown as 256, 16 patches of 16
        scores = []
        for question, answer in row["vqa_list"]:
            text = question + " Answer in one word."
            next_token = tiny_qwen.generated(model, words, picture, (16, 16), text)
            tokens = {words(way).input_ids[0] for way in ANSWERS[answer]}
            scores.append(sum(next_token[token].item() for token in tokens))
        found["soft-tifa"].append(gmean(scores))
        found["soft-tifa.am"].append(sum(scores) / len(scores))
        for skill in ("object", "attribute", "count", "position"):
            if skill in row["skills"]:
                own = [score for score, each in zip(scores, row["skills"], strict=True) if each == skill]
                found[f"soft-tifa.{skill}"].append(np.mean(own))
    return {name: np.array(values) for name, values in found.items()}


def test_scores_are_those_of_the_tool(judge: Path, words: Qwen2Tokenizer, sample: Path) -> None:
    expected = expected_of(judge, words, sample)
    assert np.ptp(expected["soft-tifa"]) > 0.01 * expected["soft-tifa"].max()
    for size in (1, 4, 32):
        found = score_images(read_source([sample]), settings(judge, batch_size=size), None)
        assert found.metrics.keys() == expected.keys()  # no prompt that was sampled asks about a verb
        for name, values in expected.items():
            np.testing.assert_allclose(found.metrics[name].score, values, rtol=1e-4)
    position = prompt_id("a blue star on white")
    assert set(found.metrics["soft-tifa.position"].prompt_id.tolist()) == {position}
    assert (
        found.scorers["soft-tifa.position"]["scale"]
        == "arithmetic mean of those of the questions about position, 0 to 1"
    )


def test_the_list_can_be_given_later(judge: Path, sample: Path, listed: Path) -> None:
    """Of a sample of plain prompts, whose images keep their own whatever the order of the list."""
    before = score_images(read_source([sample]), settings(judge), None)
    (sample / "prompts.json").unlink()
    with pytest.raises(UserError, match=r'no questions for "a red circle": .*geneval2_data\.jsonl'):
        score_images(read_source([sample]), settings(judge), None)
    after = score_images(read_source([sample], prompts_file=listed), settings(judge), None)
    np.testing.assert_array_equal(after.metrics["soft-tifa"].score, before.metrics["soft-tifa"].score)
    assert after.scorers == before.scorers


def test_pictures_from_elsewhere(judge: Path, tmp_path: Path, listed: Path) -> None:
    """A prompt an image, in the order of the files' names; the folder of vqascore will do."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        Image.effect_noise((64, 48), 60 + 20 * number).convert("RGB").save(folder / f"{number}.png")
    source = read_source([folder], prompts_file=listed)
    found = score_images(source, settings(judge, folders={"vqascore": judge}), None)
    assert len(found.metrics["soft-tifa"].score) == 4
    assert len(found.metrics["soft-tifa.verb"].score) == 1


def test_images_are_scored_again_for_other_questions_alone(judge: Path, sample: Path) -> None:
    def score() -> tuple[np.ndarray, dict[str, Any]]:
        found = score_images(read_source([sample]), settings(judge), sample)
        return found.metrics["soft-tifa"].score, found.scorers["soft-tifa"]

    first, card = score()
    assert score()[1] == card
    rows = [
        PromptRow(row["prompt"], row | {"vqa_list": [["Is it?", "Yes"]] * len(row["skills"])}) for row in LIST
    ]
    write_prompt_rows(sample, rows)
    other, changed = score()
    assert card["questions_sha256"] != changed["questions_sha256"]
    assert not np.allclose(first, other, rtol=1e-3)


def test_a_scorer_without_questions(judge: Path) -> None:
    scorer = SoftTifa(scorer_source("soft-tifa", "real", {"soft-tifa": judge}), "cpu")
    with pytest.raises(UserError, match='no questions for "a picture"'):
        scorer.score([Image.new("RGB", (64, 64))], ["a picture"])
    scorer.learn([PromptRow("a", {"vqa_list": [["Is <|im_end|> it?", "Yes"]]})])
    with pytest.raises(UserError, match=r"soft-tifa cannot be told for .*<\|im_end\|>"):
        scorer.check_prompts(["a"])


def test_an_answer_of_probability_0() -> None:
    """The geometric mean is 0 then, and no part is lost."""
    scorer = SoftTifa.__new__(SoftTifa)
    embeddings = torch.tensor([[0.5, 0.0, torch.nan], [0.25, 1.0, 0.25]])
    np.testing.assert_allclose(
        scorer.score_embeddings(embeddings, ["a", "b"]), [0, 0.0625 ** (1 / 3)], rtol=1e-6
    )


@pytest.mark.parametrize(
    "about",
    [
        {"vqa_list": "Is it?"},
        {"vqa_list": []},
        {"vqa_list": [["Is it?"]]},
        {"vqa_list": [["Is it?", "Yes", "object"]]},
        {"vqa_list": [["Is it?", " "]]},
        {"vqa_list": [["", "Yes"]]},
        {"vqa_list": [["Is it?", 1]]},
        {"vqa_list": [["Is it?", "Yes"]], "skills": []},
        {"vqa_list": [["Is it?", "Yes"]], "skills": ["colour"]},
        {"vqa_list": [["Is it?", "Yes"]], "skills": "object"},
        {"vqa_list": None},
    ],
)
def test_questions_that_are_none(about: dict[str, Any]) -> None:
    scorer = SoftTifa.__new__(SoftTifa)
    scorer.card = {}
    with pytest.raises(
        UserError, match=r'What the list asks about "a dog" is not as in geneval2_data\.jsonl'
    ):
        scorer.learn([PromptRow("a dog", about)])


def test_two_rows_of_one_prompt() -> None:
    scorer = SoftTifa.__new__(SoftTifa)
    scorer.card = {}
    rows = [PromptRow(text, {"vqa_list": [["Is it?", "Yes"]]}) for text in ("a dog", "a  dog")]
    scorer.learn(rows)
    assert list(scorer.atoms) == ["a dog"]
    with pytest.raises(UserError, match='ask differently about "a dog"'):
        scorer.learn([*rows, PromptRow("a dog", {"vqa_list": [["Is it not?", "Yes"]]})])
