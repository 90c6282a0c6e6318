"""How many trainings, prompts and images decide a difference, from the scored images of a pilot.

    python benchmarks/power.py images/tiny images/pilot-1 images/pilot-2 images/pilot-3 --rows 6

The first folder is the base, the others are trainings of one method, from seeds that are used for nothing else, on
validation prompts. With `--rivals` (as many folders, of the same seeds in the same order) it is the difference of two
methods, paired by seed. Printed is, for every scorer, the probability that a table of so many rows tells from 0 a true
difference of half a standard deviation of the base (and of a tenth), by the intervals of the tables.
"""

from __future__ import annotations

import argparse
from itertools import product

from ddecli.core.scores import load_scores
from ddecli.stats.intervals import corrected_level
from ddecli.stats.metrics import NAMES
from ddecli.stats.power import pilot_of, power
from ddecli.stats.rows import shared_metrics

DIFFERENCES = (0.5, 0.1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("pilot", nargs="+")
    parser.add_argument("--rivals", nargs="*", default=[])
    parser.add_argument("--trainings", type=int, nargs="+", default=[3, 4, 6])
    parser.add_argument("--prompts", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--images", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument(
        "--rows", type=int, default=6, help="of the table, which its intervals are corrected for"
    )
    arguments = parser.parse_args()
    base, *trained = (load_scores(folder) for folder in (arguments.base, *arguments.pilot))
    rivals = [load_scores(folder) for folder in arguments.rivals]
    level = corrected_level(arguments.rows)
    for metric in shared_metrics([base, *trained, *rivals]):
        found = pilot_of(base, trained, metric, rivals)
        unit = found.base_spread
        print(
            f"{NAMES.get(metric, metric)}: standard deviations, in those of the base over prompts ({unit:.4g}): "
            f"prompt {found.prompt**0.5 / unit:.3f}, picture {found.image**0.5 / unit:.3f}, training "
            f"{found.training**0.5 / unit:.3f}, prompt and training {found.interaction**0.5 / unit:.3f}, rest "
            f"{found.rest**0.5 / unit:.3f}"
        )
        print("| trainings | prompts | images | " + " | ".join(f"{each:g} sd" for each in DIFFERENCES) + " |")
        print("| --: | --: | --: |" + " --: |" * len(DIFFERENCES))
        for sizes in product(arguments.trainings, arguments.prompts, arguments.images):
            shown = [f"{power(found, each, *sizes, level):.2f}" for each in DIFFERENCES]
            print(f"| {' | '.join(map(str, [*sizes, *shown]))} |")
        print()


if __name__ == "__main__":
    main()
