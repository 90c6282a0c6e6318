"""Random models and a prompt set."""

from __future__ import annotations

import pytest
import tiny_models

from ddecli.models.base import DiffusionModel
from ddecli.sampling.prompts import PromptSet, make_prompt_set


@pytest.fixture(scope="session", params=["sd", "sdxl"])
def model(request: pytest.FixtureRequest) -> DiffusionModel:
    return tiny_models.model_of(getattr(tiny_models, f"{request.param}_pipeline")())


@pytest.fixture(scope="session")
def sd_model() -> DiffusionModel:
    return tiny_models.model_of(tiny_models.sd_pipeline())


@pytest.fixture
def prompts() -> PromptSet:
    return make_prompt_set("test", ["a red circle", "a blue star on white", "a green square"])
