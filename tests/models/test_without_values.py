"""Networks that are built without values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import CLIPModel, ResNetForImageClassification

from ddecli.models.without_values import WithoutValues
from ddecli.scoring.published import WORLD_WEIGHTS

CALLS = {
    "randn": lambda: torch.randn(3, 4, dtype=torch.float64),
    "rand": lambda: torch.rand((2, 5), generator=None),
    "arange": lambda: torch.arange(2, 9, 3).expand((1, -1)),
    "arange of floats": lambda: torch.arange(0, 1, 0.25, dtype=torch.float32),
    "embedding": lambda: torch.nn.Embedding(7, 3).weight,
    "linear": lambda: torch.nn.Linear(7, 3).weight,
    "empty_like": lambda: torch.empty_like(torch.arange(6).expand((1, -1))),
    "empty_like, turned": lambda: torch.empty_like(torch.empty(3, 4).T),
    "empty_like, of a type": lambda: torch.empty_like(torch.empty(3, 4), dtype=torch.int8),
}


def layout(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.dtype, tensor.stride(), tensor.device, tensor.requires_grad


@pytest.mark.parametrize("name", CALLS)
def test_tensors_without_values_are_what_they_would_be(name: str) -> None:
    with torch.device("meta"):
        expected = CALLS[name]()
        with WithoutValues():
            inner = CALLS[name]()
    with WithoutValues(), torch.device("meta"):
        found = CALLS[name]()
    assert layout(found) == layout(inner) == layout(expected)


def test_tensors_with_values_have_them() -> None:
    torch.manual_seed(0)
    expected = [torch.randn(4), torch.rand(3), torch.arange(5), torch.nn.Embedding(4, 2).weight]
    torch.manual_seed(0)
    with WithoutValues():
        found = [torch.randn(4), torch.rand(3), torch.arange(5), torch.nn.Embedding(4, 2).weight]
        filled = torch.empty_like(torch.empty(3, device="meta"), device="cpu")
    assert all(torch.equal(*each) for each in zip(found, expected, strict=True))
    assert filled.device.type == "cpu"


@pytest.mark.parametrize(
    ("kind", "folder"), [(CLIPModel, "clip"), (ResNetForImageClassification, "classifier")]
)
def test_a_loaded_network_is_the_same(kind: type, folder: str) -> None:
    """With its buffers that no file holds."""
    expected = kind.from_pretrained(WORLD_WEIGHTS / folder, dtype=torch.float32)
    with WithoutValues():
        found = kind.from_pretrained(WORLD_WEIGHTS / folder, dtype=torch.float32)
    for of in ("named_parameters", "named_buffers"):
        there = dict(getattr(expected, of)())
        here = dict(getattr(found, of)())
        assert here.keys() == there.keys()
        assert all(torch.equal(here[name], there[name]) for name in there)


def test_loading_imports_no_symbols() -> None:
    code = f"""
import sys
from ddecli.core.imports import importing
with importing(defer=True):
    from transformers import CLIPModel
    from ddecli.models.without_values import WithoutValues
with WithoutValues():
    CLIPModel.from_pretrained({str(Path(WORLD_WEIGHTS) / "clip")!r})
print("sympy" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]
