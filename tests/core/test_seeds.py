"""Seeds and names that are written into files: they are what they were."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from ddecli.core.limits import MAX_SEED
from ddecli.core.protocol import clean_prompt, image_name, prompt_id, prompts_sha256
from ddecli.core.seeds import numpy_rng, seed_of, torch_generator


def test_a_seed_is_63_bits_of_the_sha_256_of_its_parts() -> None:
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(b"image\x1f3\x1fa").digest())
    assert seed_of("image", 3, "a") == int(bits[:63], 2) <= MAX_SEED == 2**63 - 1
    assert len({seed_of("a", "b"), seed_of("ab"), seed_of("b", "a"), seed_of("a", "b", "")}) == 4
    expected = np.random.Generator(np.random.Philox(seed_of("x", 1))).random(4)
    assert np.array_equal(numpy_rng("x", 1).random(4), expected)
    generator = torch.Generator("cpu").manual_seed(seed_of("x", 1))
    assert torch.equal(torch.rand(4, generator=torch_generator("x", 1)), torch.rand(4, generator=generator))


def test_prompts_are_known_by_their_sha_256() -> None:
    assert prompt_id("a star") == hashlib.sha256(b"a star").hexdigest()[:12]
    assert prompts_sha256(["a", "b"]) == hashlib.sha256(b"a\nb").hexdigest()
    assert image_name("0123456789ab", 7) == "0123456789ab-07.png"
    assert clean_prompt("  a\n star\t ") == "a star"
