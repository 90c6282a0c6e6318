"""Libraries are silenced for as long as a block lasts, and none is imported to be silenced."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from ddecli.models.quiet import hide_progress_bars, quiet_libraries


@pytest.mark.parametrize("library", [diffusers_logging, transformers_logging])
def test_a_block_shows_no_more_than_it_says_and_than_was_shown_before(library: object) -> None:
    verbosity = library.get_verbosity()  # type: ignore[attr-defined]
    try:
        for before, shown, expected in (
            (logging.WARNING, logging.ERROR, logging.ERROR),
            (logging.WARNING, logging.CRITICAL, logging.CRITICAL),
            (logging.CRITICAL, logging.ERROR, logging.CRITICAL),
        ):
            library.set_verbosity(before)  # type: ignore[attr-defined]
            with pytest.raises(KeyError), quiet_libraries(shown):
                assert library.get_verbosity() == expected  # type: ignore[attr-defined]
                raise KeyError
            assert library.get_verbosity() == before  # type: ignore[attr-defined]
    finally:
        library.set_verbosity(verbosity)  # type: ignore[attr-defined]


def test_progress_bars_are_hidden_of_both() -> None:
    kept = diffusers_logging._tqdm_active, transformers_logging._tqdm_active
    try:
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()
        hide_progress_bars()
        assert not diffusers_logging._tqdm_active and not transformers_logging._tqdm_active
    finally:
        diffusers_logging._tqdm_active, transformers_logging._tqdm_active = kept


def test_scoring_does_not_wait_for_diffusers() -> None:
    code = (
        "import sys, ddecli.scoring.scorer, ddecli.scoring.classifiers\n"
        "from ddecli.models.quiet import hide_progress_bars\n"
        "hide_progress_bars()\n"
        "print('diffusers' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
