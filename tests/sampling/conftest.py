"""Random pipelines and a prompt set."""

from __future__ import annotations

import pytest
import tiny_models
from diffusers import DiffusionPipeline

from ddecli.sampling.prompts import PromptSet, make_prompt_set


@pytest.fixture(scope="session", params=["sd", "sdxl"])
def pipeline(request: pytest.FixtureRequest) -> DiffusionPipeline:
    return {"sd": tiny_models.sd_pipeline, "sdxl": tiny_models.sdxl_pipeline}[request.param]()


@pytest.fixture(scope="session")
def sd_pipeline() -> DiffusionPipeline:
    return tiny_models.sd_pipeline()


@pytest.fixture
def prompts() -> PromptSet:
    return make_prompt_set("test", ["a red circle", "a blue star on white", "a green square"])
