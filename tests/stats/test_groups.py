"""Scores by the kinds that a list of prompts tells apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from score_sets import score_set

from ddecli.core.errors import UserError
from ddecli.core.prompt_rows import write_prompt_rows
from ddecli.core.prompts import PromptRow
from ddecli.core.protocol import prompt_id
from ddecli.stats.groups import Kind, kinds_beside, kinds_of, of_prompts, sampled_kinds

IDS = [f"{number:012x}" for number in range(6)]


def test_numbers_tell_kinds_apart() -> None:
    """As the atoms of GenEval 2 do; a truth value does not."""
    rows = [PromptRow("a", {"atom_count": 3, "tag": True}), PromptRow("b", {"atom_count": 10, "tag": False})]
    found = [(each.division, each.name, each.prompts) for each in kinds_of(rows)]
    assert found == [("atom_count", "3", {prompt_id("a")}), ("atom_count", "10", {prompt_id("b")})]


def test_kinds_are_those_of_the_first_list_that_is_there(tmp_path: Path) -> None:
    for name in ("none", "listed"):
        (tmp_path / name).mkdir()
    rows = [
        PromptRow("a cat", {"Category": "Animals", "Challenge": "Basic", "tag": "all"}),
        PromptRow("a  dog", {"Category": "Animals", "Challenge": "Style", "tag": "all"}),
        PromptRow("a car", {"Category": "Vehicles", "Challenge": "Style", "tag": "all"}),
        PromptRow("a cat", {"Category": "Vehicles", "tag": "all"}),
    ]
    write_prompt_rows(tmp_path / "listed", rows)
    found = {
        (each.division, each.name): each.prompts
        for each in kinds_beside([tmp_path / "none", tmp_path / "listed"])
    }
    cat, dog, car = map(prompt_id, ("a cat", "a dog", "a car"))
    assert found == {
        ("category", "Animals"): {cat, dog},
        ("category", "Vehicles"): {car, cat},  # a prompt that is there twice, once of each kind
        ("challenge", "Basic"): {cat},
        ("challenge", "Style"): {dog, car},
    }  # not by tag: one kind is the whole
    assert kinds_beside([tmp_path / "none"]) == []
    file = tmp_path / "listed" / "prompts.json"
    file.write_text(file.read_text().replace("Animals", "Plants"))
    with pytest.raises(UserError, match="has changed"):
        kinds_beside([tmp_path / "listed"])


def test_scores_of_some_prompts() -> None:
    values = np.arange(12.0).reshape(6, 2)
    scores = score_set("a", {"clip": values, "hps": values[:2]})
    own = of_prompts(scores, {IDS[1], IDS[4], "somebody else"})
    assert own.metrics.keys() == {"clip", "hps"} and own.protocol == scores.protocol
    assert own.metric("clip").prompt_means().tolist() == [2.5, 8.5]
    assert own.metric("hps").score.tolist() == [2, 3]
    assert of_prompts(scores, {IDS[4]}).metrics.keys() == {"clip"}
    kinds = [Kind("style", "photo", frozenset({IDS[0]})), Kind("style", "anime", frozenset({"not sampled"}))]
    assert [(kind.name, len(own.metrics)) for kind, own in sampled_kinds(kinds, scores)] == [("photo", 2)]
