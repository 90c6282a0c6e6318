"""Describe the experiment for `ddecli report`: which folders play which role."""

from pathlib import Path

import yaml

keys = ("name", "title", "tables", "models", "figures", "grid", "changes")
description = {key: getattr(snakemake.params, key) for key in keys}  # noqa: F821
Path(snakemake.output[0]).write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")  # noqa: F821
