"""One loss a file: its formula and its description `LOSS`, which `ddecli.objectives.registry` finds."""
