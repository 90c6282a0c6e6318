"""Run trainings one after the other in the processes this script is launched in: one YAML file of settings each."""

import sys
from pathlib import Path

from ddecli.selfplay.iterations import play
from ddecli.training.loop import train
from ddecli.training.settings import resolve_settings

for file in sys.argv[1:]:
    settings = resolve_settings({}, Path(file))
    run = play if settings.is_game else train
    run(settings, resume=True)
