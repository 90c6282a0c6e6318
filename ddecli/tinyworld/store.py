"""The pair store of the world that is made where none is given."""

from __future__ import annotations

from pathlib import Path

import torch

from ddecli.core.devices import choose_device
from ddecli.core.world import WORLD_PAIRS
from ddecli.data.prepare import prepare_with
from ddecli.data.store_plan import refuse_other_content
from ddecli.data.summary import PrepareSummary
from ddecli.tinyworld.pairs import world_source


def prepare_world(model: str, out: Path, device: str) -> PrepareSummary:
    """Prepare the world's pairs for a model, as `ddecli prepare` does where nothing else is asked for.

    Raises:
        UserError: `out` holds something else, or parts that were made with other settings.
    """
    refuse_other_content(out)
    source = world_source(WORLD_PAIRS)
    return prepare_with(model, choose_device(device), torch.float32, "world", source, out)
