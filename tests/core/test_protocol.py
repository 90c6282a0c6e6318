"""Which images a protocol tells of, and which files of the hub are at hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ddecli.core.errors import UserError
from ddecli.core.hub import hub_files
from ddecli.core.protocol import (
    check_listing,
    image_name,
    prompt_id,
    prompts_sha256,
    sampled_model,
    spacing_of,
)

PROMPTS = ["a star", "two rings"]
LISTED = [(image_name(prompt_id(prompt), index), prompt, index) for prompt in PROMPTS for index in range(3)]
PROTOCOL = {"prompts_sha256": prompts_sha256(PROMPTS), "num_prompts": 2, "images_per_prompt": 3}


def test_a_listing_is_the_protocols_images_in_their_order(tmp_path: Path) -> None:
    assert LISTED[4][0] == f"{prompt_id('two rings')}-01.png"
    check_listing(tmp_path, PROTOCOL, LISTED)
    check_listing(tmp_path, {"steps": 3}, LISTED[:2])  # somebody else's protocol
    other = [(name, "a star!", index) if number == 0 else (name, prompt, index)
             for number, (name, prompt, index) in enumerate(LISTED)]  # fmt: skip
    named = [("x.png", *LISTED[0][1:]), *LISTED[1:]]
    numbered = [(*LISTED[0][:2], 1), *LISTED[1:]]
    for wrong in (LISTED[:-1], [*LISTED, LISTED[-1]], LISTED[:3], LISTED[::-1], other, named, numbered):
        with pytest.raises(UserError, match=r"does not list the 2 x 3 images that protocol\.json tells of"):
            check_listing(tmp_path, PROTOCOL, wrong)
    for changed in ({"num_prompts": 3}, {"images_per_prompt": 2}, {"prompts_sha256": "0"}):
        with pytest.raises(UserError, match="does not list"):
            check_listing(tmp_path, PROTOCOL | changed, LISTED)


def test_every_file_that_is_needed_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda *given, **how: asked.append((given, how)) or tmp_path
    )
    (tmp_path / "config.json").touch()
    with pytest.raises(
        UserError, match=r"^The weights \(o/m\) are neither .* nor can they be fetched: give --scorer\.$"
    ):
        hub_files("o/m", ["*.json", "*.safetensors"], "The weights", "give --scorer")
    (tmp_path / "model.safetensors").touch()
    assert hub_files("o/m", ["*.json", "*.safetensors"], "The weights", "x", ["*.txt"], "dataset") == tmp_path
    how = {"repo_type": "dataset", "allow_patterns": ["*.json", "*.safetensors", "*.txt"]}
    assert asked[1] == (("o/m",), how) and asked[0][1]["repo_type"] == "model"


def test_earlier_protocols_do_not_say_how_timesteps_were_spaced() -> None:
    old = {"sampler": "DDIM (eta 0)"}
    assert spacing_of(old) == "leading"
    assert spacing_of(old | {"spacing": "trailing"}) == "trailing"
    assert spacing_of({"sampler": "LCMScheduler (the model's own)"}) is None
    assert spacing_of({}) is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"name": "runs/a", "unet_sha256": "12"}, "runs/a"),
        ("runs/a", "runs/a"),
        (None, None),
        ({}, None),
        ("", None),
    ],
)
def test_what_images_were_sampled_from(model: object, expected: str | None) -> None:
    assert sampled_model({"model": model}) == expected
    assert sampled_model({}) is None
