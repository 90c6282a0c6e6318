"""Run trainings one after the other in the processes this script is launched in: one YAML file of settings each."""

import sys
from pathlib import Path

from ddecli.selfplay.iterations import play
from ddecli.training import auto_beta
from ddecli.training.loop import train
from ddecli.training.settings import resolve_settings

DRAWS = 75
"""That a beta is measured on, for `--beta auto`."""

if __name__ == "__main__":
    auto_beta.DRAWS = DRAWS
    for file in sys.argv[1:]:
        settings = resolve_settings({}, Path(file))
        run = play if settings.is_game else train
        run(settings, resume=True)
