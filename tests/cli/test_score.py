"""`ddecli score` as it is typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import tiny_qwen
from cli_checks import assert_one_sentence
from hub_cache import make_hub
from PIL import Image

from ddecli.core.prompt_rows import write_prompt_rows
from ddecli.core.prompts import PromptRow
from ddecli.core.protocol import prompt_id
from ddecli.core.scores import load_scores
from ddecli.core.world import TINY
from ddecli.scoring.score import load_scorer

Run = Callable[..., Any]
PROMPTS = ("a red circle", "a blue star")


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tiny_models.save_clip(tmp_path_factory.mktemp("scorer") / "clip")
    options = (("--scorer", f"{metric}={folder}") for metric in ("clip", "hps", "pickscore"))
    return tuple(part for option in options for part in option)


def sample(folder: Path, seed: int = 0, **protocol: object) -> Path:
    """A finished sample of two prompts, three images each."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in PROMPTS:
        for index in range(3):
            name = f"{prompt_id(prompt)}-{index:02d}.png"
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name)
            rows.append({"file_name": name, "prompt": prompt, "image_index": index})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "prompt_set": "test",
        "steps": 2,
        "resolution": 32,
        "world": TINY,
        "model": {"name": folder.name},
    }
    (folder / "protocol.json").write_text(json.dumps(settings | protocol))
    return folder


def test_what_is_not_there_is_refused_before_torch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from ddecli.cli.app import main; sys.argv = ['ddecli', 'score', 'nothere.png', '--prompt', 'a']\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        "    print(stop.code, {'torch', 'transformers'} & set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert run.stdout.split("\n")[0] == "2 set()" and "nothere.png" in run.stderr


def test_a_sample_is_scored_with_the_default_metrics(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path
) -> None:
    folder = sample(tmp_path / "base")
    typed = ddecli("score", folder, *scorer)
    assert typed.code == 0, typed.error
    for word in ("clip", "hps", "pickscore", "diversity", "standard error"):
        assert word in typed.out
    files = {file.name for file in folder.iterdir()}
    assert {"scores.parquet", "scores.json"} <= files and "scores-skipped.jsonl" not in files
    answer = json.loads(ddecli("score", folder, *scorer, "--metric", "hps", "--json").out)
    assert [row["metric"] for row in answer["scores"]] == ["hps"]
    assert answer["scores"][0]["images"] == 6


def test_several_folders_are_scored_each_on_its_own_with_scorers_loaded_once(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = [sample(tmp_path / f"alone-{number}", seed=number) for number in range(3)]
    for folder in alone:
        assert ddecli("score", folder, *scorer).code == 0
    together = [sample(tmp_path / f"together-{number}", seed=number) for number in range(3)]
    loaded: list[str] = []
    load = load_scorer
    monkeypatch.setattr(
        "ddecli.scoring.score.load_scorer",
        lambda metric, *given: (loaded.append(metric), load(metric, *given))[1],
    )
    typed = ddecli("score", *together, *scorer, "--json")
    assert typed.code == 0, typed.error
    assert loaded == ["clip", "hps", "pickscore"]
    for one, other in zip(alone, together, strict=True):
        before, after = load_scores(one), load_scores(other)
        assert before.metrics.keys() == after.metrics.keys() == {"clip", "diversity", "hps", "pickscore"}
        for name, values in before.metrics.items():
            np.testing.assert_array_equal(values.score, after.metrics[name].score)
    answer = json.loads(typed.out)
    assert [row["folder"] for row in answer["folders"]] == [str(folder) for folder in together]
    assert answer["failed"] == []
    shown = ddecli("score", *together, *scorer, "--metric", "hps")
    assert shown.code == 0 and "kept" in shown.out + shown.error
    assert load_scores(together[0]).metrics.keys() == load_scores(alone[0]).metrics.keys()


def test_of_several_folders_the_broken_one_is_named_and_the_others_are_kept(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path
) -> None:
    folders = [sample(tmp_path / f"images-{number}", seed=number) for number in range(3)]
    for file in folders[1].glob("*.png"):
        file.write_bytes(b"no picture")
    typed = ddecli("score", *folders, *scorer, "--metric", "hps")
    assert typed.code == 2
    assert (
        "1 of 3 folders could not be scored, the others were. " in typed.error
        and "images-1: 6 of 6" in typed.error
    )
    assert [(folder / "scores.parquet").exists() for folder in folders] == [True, False, True]
    missing = ddecli("score", folders[0], tmp_path / "nothere", *scorer)
    assert_one_sentence(missing, "nothere")
    twice = ddecli("score", folders[0], folders[2], folders[0], *scorer, "--metric", "hps")
    assert_one_sentence(twice, "images-0 is given twice")
    for option in ("--against", "--out"):
        refused = ddecli("score", folders[0], folders[2], option, folders[1], *scorer)
        assert_one_sentence(refused, f"{option} takes one folder to score, not 2")


def test_against(ddecli: Run, scorer: tuple[str, ...], tmp_path: Path) -> None:
    base, trained = sample(tmp_path / "base"), sample(tmp_path / "trained", seed=1)
    typed = ddecli("score", trained, *scorer, "--metric", "clip", "--against", base, "--json")
    assert typed.code == 0, typed.error
    rows = {row["metric"]: row for row in json.loads(typed.out)["comparison"]}
    assert "they speak of these two models alone" in json.loads(typed.out)["about"]
    assert set(rows) == {"clip", "diversity"}
    assert 0 <= rows["clip"]["beat_ratio"] <= 1
    low, high = rows["clip"]["difference_interval"]
    assert low <= rows["clip"]["difference"] <= high
    assert (base / "scores.parquet").exists()
    same = shutil.copytree(base, tmp_path / "same")
    twin = json.loads(ddecli("score", same, *scorer, "--metric", "clip", "--against", base, "--json").out)
    assert [(row["beat_ratio"], row["tie_share"]) for row in twin["comparison"]] == [(0.5, 1.0)] * 2
    shown = ddecli("score", same, *scorer, "--metric", "clip", "--against", base).out
    assert "beat ratio" in shown
    assert "they speak of these two models alone, not of how they were trained" in shown


def test_kinds_of_prompts_are_shown_beside_the_whole(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path
) -> None:
    a, b = sample(tmp_path / "a"), sample(tmp_path / "b", seed=1)
    kinds = [
        PromptRow(prompt, {"Category": name})
        for prompt, name in zip(PROMPTS, ("Round", "Pointed"), strict=True)
    ]
    write_prompt_rows(a, [*kinds, PromptRow("not sampled", {"Category": "Other"})])
    words = ("score", a, "--metric", "clip", "--against", b, *scorer)
    typed = ddecli(*words)
    assert typed.code == 0, typed.error
    for words_in in (
        "scores by category (95 % intervals)",
        f"differences to {b} by category",
        "Round",
        "Pointed",
    ):
        assert words_in in typed.out
    assert "Other" not in typed.out
    found = json.loads(ddecli(*words, "--json").out)
    assert [(each["division"], each["kind"]) for each in found["kinds"]] == [
        ("category", "Round"), ("category", "Pointed"),
    ]  # fmt: skip
    mine, theirs = (load_scores(folder).metric("clip") for folder in (a, b))
    for each, prompt in zip(found["kinds"], PROMPTS, strict=True):
        own, other = (values.score[values.prompt_id == prompt_id(prompt)].mean() for values in (mine, theirs))
        assert each["scores"][0]["mean"] == pytest.approx(own) and each["scores"][0]["images"] == 3
        assert each["comparison"][0]["difference"] == pytest.approx(own - other)
    table = ddecli("table", f"A={a}", f"B={b}")
    assert table.code == 0 and "### Mean scores by category, with 95 % intervals" in table.out
    assert "| Round | 1 | A | " in table.out


def test_the_questions_of_geneval_2(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """By skill and by number of atoms; of a sample of plain prompts they come from the list."""
    words = tiny_qwen.tokenizer("Yes yes one two Is it a red circle? How many? Answer in one word. " * 20)
    judge = tiny_qwen.save_qwen3_vl(tmp_path_factory.mktemp("judge") / "qwen", words)
    folder, listed = sample(tmp_path / "base"), tmp_path / "geneval2_data.jsonl"
    asked = [["Is it red?", "Yes"], ["How many?", "one"]]
    rows = [
        {"prompt": PROMPTS[1], "atom_count": 1, "vqa_list": asked[:1], "skills": ["attribute"]},
        {"prompt": PROMPTS[0], "atom_count": 2, "vqa_list": asked, "skills": ["attribute", "count"]},
    ]
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("score", folder, "--metric", "soft-tifa", "--scorer", f"soft-tifa={judge}")
    assert_one_sentence(ddecli(*command), 'soft-tifa has no questions for "a red circle"')
    assert not (folder / "scores.json").exists()
    typed = ddecli(*command, "--prompts", listed, "--json")
    assert typed.code == 0, typed.error
    found = json.loads(typed.out)
    means = {row["metric"]: (row["images"], row["mean"]) for row in found["scores"]}
    assert {name: images for name, (images, _) in means.items()} == {
        "soft-tifa": 6, "soft-tifa.am": 6, "soft-tifa.attribute": 6, "soft-tifa.count": 3,
    }  # fmt: skip
    assert means["soft-tifa"][1] <= means["soft-tifa.am"][1]
    kinds = {(row["division"], row["kind"]): row["scores"] for row in found["kinds"]}
    assert list(kinds) == [("atom_count", "1"), ("atom_count", "2")]
    one = {row["metric"]: row["mean"] for row in kinds["atom_count", "1"]}
    assert one["soft-tifa"] == pytest.approx(one["soft-tifa.am"])
    assert "scores by atom_count (95 % intervals)" in ddecli(*command, "--prompts", listed).out
    other = sample(tmp_path / "other", seed=1)
    against = ddecli(*command, "--against", other, "--prompts", listed)
    assert against.code == 0 and "soft-tifa.count" in against.out

    listed.write_text(json.dumps(rows[0]) + "\n")
    typed = ddecli(*command, "--prompts", listed)
    assert_one_sentence(typed, 'geneval2_data.jsonl has no prompt "a red circle"')
    rows[1]["skills"] = ["attribute"]
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert_one_sentence(ddecli(*command, "--prompts", listed), 'asks about "a red circle" is not as in')
    plain = ("--prompt", "a cat", "--family", "real")
    typed = ddecli("score", next(folder.glob("*.png")), *command[2:], *plain)
    assert_one_sentence(typed, 'no questions for "a cat"')


def test_against_another_protocol_or_other_prompts(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path
) -> None:
    base, slower = sample(tmp_path / "base"), sample(tmp_path / "slower", steps=50)
    typed = ddecli("score", base, *scorer, "--against", slower)
    assert typed.code == 2
    assert "steps is 2 in the first and 50 in the second" in typed.error
    assert not (base / "scores.parquet").exists()

    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(next(base.glob("*.png")), photos / "a.png")
    (photos / "a.txt").write_text("a dog")
    typed = ddecli("score", photos, *scorer, "--against", base)
    assert typed.code == 2
    assert "different prompts" in typed.error

    for file in base.glob("*.png"):
        shutil.copy(file, photos)
        prompt = PROMPTS[0] if file.name.startswith(prompt_id(PROMPTS[0])) else PROMPTS[1]
        (photos / file.with_suffix(".txt").name).write_text(prompt)
    (photos / "a.png").unlink()
    typed = ddecli("score", photos, *scorer, "--against", base, "--json")
    assert typed.code == 0, typed.error
    assert json.loads(typed.out)["comparison"][0]["beat_ratio"] == 0.5


def test_files_given_by_name_are_printed_one_by_one(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path
) -> None:
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for number, file in enumerate(files):
        Image.new("RGB", (32, 32), (200 * number, 0, 0)).save(file)
    typed = ddecli("score", *files, "--prompt", "a red circle", *scorer, "--metric", "clip", "--json")
    rows = json.loads(typed.out)["images"]
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert all(-1 <= row["clip"] <= 1 for row in rows)
    assert not (tmp_path / "scores.parquet").exists()
    assert "a.png" in ddecli("score", *files, "--prompt", "a", *scorer, "--metric", "clip").out
    out = tmp_path / "out"
    assert ddecli("score", files[0], "--prompt", "a", *scorer, "--metric", "clip", "--out", out).code == 0
    assert (out / "scores.parquet").exists()


def test_a_folder_that_cannot_be_written_to(
    ddecli: Run, scorer: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sample(tmp_path / "base")
    can = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and can(path, mode))
    typed = ddecli("score", folder, *scorer, "--metric", "clip", "--json")
    assert typed.code == 0
    assert "printed only" in typed.error.replace("\n", " ")
    assert json.loads(typed.out)["scores"]
    assert not (folder / "scores.parquet").exists()


def test_pinned_weights(ddecli: Run, scorer: tuple[str, ...], tmp_path: Path) -> None:
    folder = sample(tmp_path / "base")
    assert ddecli("score", folder, *scorer, "--metric", "hps").code == 0
    digest = json.loads((folder / "scores.json").read_text())["scorers"]["hps"]["sha256"]
    assert ddecli("score", folder, *scorer, "--metric", "hps", "--pin", f"hps={digest[:16]}").code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none",), "none does not exist"),
        (("empty", "--prompt", "a"), "no image files"),
        (("bare",), "no image with a prompt"),
        (("bare", "--prompt", ""), "--prompt is empty"),
        (("bare", "--prompt", "a", "--metric", "clap"), "clap"),
        (("bare", "--prompt", "a", "--scorer", "clip"), "METRIC=FOLDER"),
        (("bare", "--prompt", "a", "--scorer", "clip=none", "--metric", "clip"), "no config.json"),
        (("bare", "--prompt", "a", "--family", "real"), "hf download laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),
        (("bare", "--prompt", "a", "--metric", "aesthetic"), "tiny world has no aesthetic"),
        (("bare", "--prompt", "a", "--metric", "imagereward"), "tiny world has no imagereward"),
        (
            ("bare", "--prompt", "a", "--metric", "imagereward", "--family", "real"),
            "hf download THUDM/ImageReward ImageReward.pt med_config.json --local-dir FOLDER",
        ),
        (
            ("bare", "--prompt", "a", "--metric", "imagereward", "--scorer", "imagereward=bare"),
            "no ImageReward.pt",
        ),
        (
            ("bare", "--prompt", "a", "--metric", "hpsv3", "--family", "real"),
            "hf download MizzenAI/HPSv3 HPSv3.safetensors --local-dir FOLDER",
        ),
        (
            ("bare", "--prompt", "a", "--metric", "vqascore", "--scorer", "vqascore=bare"),
            "--scorer vqascore=FOLDER, a Qwen3-VL folder",
        ),
        (
            ("bare", "--prompt", "a", "--metric", "hpsv3", "--scorer", "hpsv3=bare"),
            "no HPSv3.safetensors",
        ),
        (("bare", "--prompt", "a", "--metric", "hps", "--pin", "hps"), "METRIC=DIGEST"),
        (("bare", "--prompt", "a", "--metric", "hps", "--pin", "hps=00ff"), "not the pinned 00ff"),
        (("bare", "--prompt", "a", "--pin", "clap=00ff"), "clap"),
        (("html.jpg", "--prompt", "a", "--metric", "clip"), "html.jpg"),
        (("truncated.jpg", "--prompt", "a", "--metric", "clip"), "truncated.jpg"),
        (("bare", "--prompts", "none.txt"), "none.txt"),
    ],
)
def test_wrong_input_ends_in_one_sentence(
    ddecli: Run,
    scorer: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_hub(tmp_path / "cache", monkeypatch)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "bare" / "a.png")
    Image.effect_noise((32, 32), 50).save(tmp_path / "whole.jpg")
    (tmp_path / "truncated.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-200])
    (tmp_path / "html.jpg").write_text("<html>not found</html>")
    folders = () if "--scorer" in arguments or "--family" in arguments else scorer
    typed = ddecli("score", *arguments, *folders)
    assert_one_sentence(typed, sentence)
