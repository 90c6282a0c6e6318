"""How the official tools of benchmarks read images: written a second time from their code, without their judges.

Read at djghosh13/geneval 16f16811, facebookresearch/GenEval2 a6e82d22, TencentQQGYLab/ELLA 025f650e and
Karine-Huang/T2I-CompBench 34134bd8.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from PIL import Image


def geneval(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, Image.Image]]]:
    """`evaluate_images.main`: by subfolder its metadata, and its images by name."""
    found = {}
    for path in folder.iterdir():
        if not path.is_dir() or not path.name.isdigit():
            continue
        with (path / "metadata.jsonl").open() as file:
            metadata = json.load(file)
        images = {}
        for image in (path / "samples").iterdir():
            if image.is_file() and re.match(r"\d+\.png", image.name):
                images[image.name] = Image.open(image)
        found[path.name] = (metadata, images)
        assert metadata["tag"] and metadata["prompt"]  # `evaluate_image` looks them up
        assert all({"class", "count"} <= set(wanted) for wanted in metadata.get("include", []))
    return found


def geneval2(benchmark_data: Path, image_filepath_data: Path) -> list[tuple[str, Image.Image, int]]:
    """`evaluation.main`: of each row of the data its prompt, image, and number of questions."""
    with benchmark_data.open() as file:
        rows = [json.loads(line) for line in file.readlines()]
    with image_filepath_data.open() as file:
        paths = json.load(file)
    found = []
    for row in rows:
        if row["prompt"] not in paths:
            raise KeyError(f"Missing filepath for the prompt: {row['prompt']}")
        for question, answer in row["vqa_list"]:
            assert question and answer
        found.append((row["prompt"], Image.open(paths[row["prompt"]]), len(row["vqa_list"])))
    return found


def dpg(folder: Path, resolution: int, pic_num: int, items: set[str]) -> dict[str, list[Image.Image]]:
    """`compute_dpg_one_sample` of every file: its crops by item. A file without questions fails there."""
    found = {}
    for path in folder.iterdir():
        image = Image.open(path)
        r = resolution
        crops = [(0, 0, r, r), (r, 0, r * 2, r), (0, r, r, r * 2), (r, r, r * 2, r * 2)][:pic_num]
        key = path.name.split(".")[0]
        assert key in items
        found[key] = [image.crop(crop) for crop in crops]
    return found


def compbench(out_dir: Path) -> list[tuple[str, int, Image.Image]]:
    """`Create_annotation_for_BLIP` and `2D_spatial_eval`: prompts, numbers and images in the order of the tool."""
    folder = f"{out_dir}/samples/"
    names = [path.name for path in Path(folder).iterdir()]
    names.sort(key=lambda name: int(name.split("_")[-1].split(".")[0]))
    found = []
    for name in names:
        number = int((folder + name).split("/")[-1].split("_")[-1].split(".")[0])
        assert number == int(name.split(".png")[0].split("_")[1])  # as `numeracy_eval` has it
        found.append((name.split("_")[0], number, Image.open(folder + name)))
    return found
