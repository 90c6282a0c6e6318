"""The world's CLIP: its hard negatives, what is frozen, and how it is judged."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import torch
from transformers import CLIPModel, CLIPTokenizer

from ddecli.core.seeds import numpy_rng
from ddecli.models.presets import builtin_weights
from ddecli.tinyworld import annotators, clip
from ddecli.tinyworld.bank import make_bank
from ddecli.tinyworld.scenes import Description, Flaws, plain_caption, random_description


def parts(description: Description) -> dict[str, str | None]:
    """What a description says, flat."""
    said = {name: getattr(description, name) for name in ("size", "place", "relation", "background")}
    for number, thing in enumerate(description.things):
        values = zip(("shape", "colour", "texture"), astuple(thing), strict=True)
        said |= {f"{name} {number}": value for name, value in values}
    return said


def test_a_hard_negative_says_one_thing_otherwise() -> None:
    rng = numpy_rng("negatives")
    changed: dict[str, int] = {}
    for _ in range(4000):
        meant = random_description(rng)
        other = clip.altered(meant, rng)
        assert other != meant and plain_caption(other) != plain_caption(meant)
        a, b = parts(meant), parts(other)
        names = [name for name in a if a[name] != b[name]]
        if len(names) > 1:  # of a couple one attribute, or all, went from one thing to the other
            assert meant.layout == "couple" and {name[:-2] for name in names} <= {
                "shape",
                "colour",
                "texture",
            }
            assert all(a[f"{name[:-2]} 0"] == b[f"{name[:-2]} 1"] for name in names)
        else:
            changed[names[0].split()[0]] = changed.get(names[0].split()[0], 0) + 1
    assert max(changed, key=lambda name: changed[name]) == "shape"
    assert min(changed.values()) > 20 and set(changed) == {
        "shape", "colour", "texture", "size", "place", "relation", "background",
    }  # fmt: skip


def test_the_alternatives_of_an_attribute_are_all_its_other_values() -> None:
    rng = numpy_rng("alternatives")
    numbers = {"shape": 5, "colour": 5, "texture": 2, "background": 2, "size": 1, "place": 4, "relation": 1}
    for _ in range(200):
        meant = random_description(rng)
        for attribute, others in clip.alternatives(meant).items():
            assert meant not in others and len(set(map(repr, others))) == len(others)
            if attribute != "order":
                assert len(others) == numbers[attribute.split()[0]]


def test_zero_shot_counts_what_is_told_apart() -> None:
    """Against one picture and one question at a time."""
    folder = builtin_weights("clip")
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    bank = make_bank("zero-shot", 40, flawed=False)
    meant = [scene.description for scene in bank.scenes]
    found = clip.zero_shot(model, tokenizer, meant, bank.pictures)
    slow: dict[str, list[bool]] = {}
    with torch.inference_mode():
        for row, description in enumerate(meant):
            seen = clip.embed_pictures(model, bank.pixels(np.array([row])))
            for attribute, others in clip.alternatives(description).items():
                texts = [plain_caption(each) for each in (description, *others)]
                cosines = seen @ clip.embed_text(model, clip.tokenize(tokenizer, texts)).T
                slow.setdefault(attribute, []).append(int(cosines.argmax()) == 0)
    assert found.keys() == slow.keys()
    for attribute, right in slow.items():
        assert abs(found[attribute] - np.mean(right)) <= 1 / len(right)  # a tie, at most


def test_the_vision_side_alone_is_trained_once_the_text_is_frozen() -> None:
    model = clip.new_clip(CLIPTokenizer.from_pretrained(builtin_weights("clip")))
    clip.freeze_text(model)
    trained = {name.split(".")[0] for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained == {"logit_scale", "vision_model", "visual_projection"}


def test_chances_of_votes_are_those_of_the_votes_cast() -> None:
    rng = numpy_rng("chances")
    worse, better = Flaws(middle="bent", middle_severity=0.2), Flaws()
    votes = np.array([annotators.VOTERS.prefer_first(better, worse, rng) for _ in range(20_000)])
    first, second = annotators.VOTERS.vote_chances(np.array([0.2]))
    assert abs((votes == 1).mean() - first[0]) < 0.012
    assert abs((votes == 0).mean() - second[0]) < 0.012
