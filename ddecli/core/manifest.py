"""What made a result: versions and machine, written beside everything that is kept."""

from __future__ import annotations

import functools
import os
import platform
from importlib import metadata
from typing import Any

from ddecli import __version__

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "peft", "torchmetrics", "numpy")


def versions() -> dict[str, str]:
    """Versions of ddecli, Python and the packages that decide numbers."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    found = {"ddecli": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def machine() -> dict[str, Any]:
    """Size of the machine: cores, processor architecture, and the accelerator if torch sees one."""
    import torch

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "architecture": platform.machine(),
        "accelerator": accelerator,
    }
