"""What workflow/config/paper-smoke.yaml needs: models, scorers, a classifier, pairs and prompts, all small.

Run as: python tests/workflow/smoke.py [FOLDER], then
snakemake --cores all --configfile workflow/config/paper-smoke.yaml in the folder above it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pair_data
import tiny_models

PAIRS = 6


def make(folder: Path) -> Path:
    """Fill `folder`; the random weights are of the real classes and in the real layouts."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_models.sd_pipeline().save_pretrained(folder / "sd15")
    tiny_models.sdxl_pipeline().save_pretrained(folder / "sdxl")
    tiny_models.save_clip(folder / "clip")
    tiny_models.save_classifier(folder / "classifier")
    rows = [
        {"prompt": f"a red circle {i}", "chosen": f"{2 * i}.png", "rejected": f"{2 * i + 1}.png"}
        for i in range(PAIRS)
    ]
    pair_data.write_folder(folder / "pairs", rows, pictures=2 * PAIRS)
    (folder / "prompts.txt").write_text("a red circle\na blue square\na green star\n", encoding="utf-8")
    (folder / "grid-prompts.txt").write_text("a white circle\na red star\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    make(Path(sys.argv[1] if len(sys.argv) > 1 else "smoke"))
