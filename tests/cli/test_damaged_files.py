"""Files that were damaged after they were written: every command says which, and how to go on, in one sentence."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from cli_checks import assert_one_sentence, contents
from pair_data import write_folder
from PIL import Image
from tiny_models import save_classifier, save_clip

from ddecli.core.errors import UserError
from ddecli.stats.runs import load_credit

if TYPE_CHECKING:
    from conftest import Typed

Run = Callable[..., "Typed"]


@pytest.fixture
def train(ddecli: Run, sd_folder: Path, sd_store: Path) -> Run:
    """Train in `run`, with a checkpoint a step."""
    options = (
        "--model",
        sd_folder,
        "--data",
        sd_store,
        "--batch-size",
        4,
        "--checkpoint-every",
        1,
        "--out",
        "run",
    )
    return lambda *more: ddecli("train", *options, "--device", "cpu", *more)


def figure(name: str) -> tuple[object, ...]:
    return ("figure", name, "A=run", "--out", "f")


def flip(file: Path, part: float = 0.5) -> Callable[[], int]:
    """Flip a bit; returns what puts it back."""
    good = file.read_bytes()
    damaged = bytearray(good)
    damaged[int(len(good) * part)] ^= 1
    file.write_bytes(damaged)
    return lambda: file.write_bytes(good)


def test_a_finished_run_notes_its_files_and_readers_compare_them(ddecli: Run, train: Run) -> None:
    assert train("--steps", 2).code == 0
    sample = ("sample", "run", "--prompt", "a cat", "--steps", 1, "--images-per-prompt", 1, "--out", "images")
    readers = {
        "metrics.jsonl": [figure("curves")],
        "credit.npz": [figure("credit")],
        "model/unet/diffusion_pytorch_model.safetensors": [sample],
        "model/text_encoder/config.json": [sample],
        "model/scheduler/scheduler_config.json": [sample],
        "perf.json": [figure("credit"), sample],
    }
    for name, commands in readers.items():
        put_back = flip(Path("run", name))
        for command in commands:
            typed = ddecli(*command)
            assert_one_sentence(typed, f"run/{name}", "train the run again")
        put_back()
    assert not Path("f.json").exists() and not Path("images/metadata.jsonl").exists()
    Path("run/model/README.md").write_text("My own words.")
    for command in (command for commands in readers.values() for command in commands):
        assert ddecli(*command).code == 0
    read = json.loads(Path("f.json").read_text())["read"]
    assert set(read) == {"run/credit.npz", "run/perf.json"}

    flip(Path("run/metrics.jsonl"))
    Path("run/perf.json").unlink()  # as a run of an earlier version, or one changed on purpose
    assert ddecli(*sample).code == 0


def test_a_run_that_goes_on_is_not_taken_for_a_damaged_one(
    ddecli: Run, train: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--steps", 2).code == 0

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ddecli.training.run_record.RunRecord._leave", stop)
        assert train("--steps", 3, "--resume").code == 130
    assert len(Path("run/metrics.jsonl").read_text().splitlines()) == 3
    assert ddecli(*figure("curves")).code == 0
    assert train("--steps", 3, "--resume").code == 0
    assert "metrics.jsonl" in json.loads(Path("run/perf.json").read_text())["files"]
    assert ddecli(*figure("curves")).code == 0


@pytest.mark.parametrize(
    "line", [b"{broken", b"\xff\xfe", b"", b"[" * 5000, b'{"step": "one"}', b'{"step": 1e999}']
)
def test_a_damaged_line_of_the_log_does_not_stop_a_run(train: Run, line: bytes) -> None:
    assert train("--steps", 3).code == 0
    lines = Path("run/metrics.jsonl").read_bytes().splitlines()
    Path("run/metrics.jsonl").write_bytes(b"\n".join([lines[0], line, lines[2]]) + b"\n")
    typed = train("--steps", 4, "--resume")
    assert typed.code == 0 and "1 damaged lines of run/metrics.jsonl are left out" in typed.error
    steps = [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 3]
    before = contents("run")
    assert "run is finished" in train("--steps", 4, "--resume").error
    assert contents("run") == before


@pytest.mark.parametrize(
    "content", [b"[]", b"{", b'{"files": []}', b'{"files": {}}', b"[" * 100_000, b"\xff"]
)
def test_a_checkpoint_whose_state_is_damaged_is_passed_over(train: Run, content: bytes) -> None:
    assert train("--steps", 2).code == 0
    shutil.copytree("run/checkpoints/step-000002", "run/checkpoints/step-000001")
    Path("run/checkpoints/step-000002/state.json").write_bytes(content)
    typed = train("--steps", 3, "--resume")
    assert typed.code == 0 and "step-000002 is damaged and is passed over" in typed.error


def npz(file: Path, **arrays: np.ndarray) -> None:
    with np.load(file) as found:
        arrays = dict(found) | arrays
    np.savez(file, **arrays)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-30]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"PK\x03\x04" + b"\0" * 100),
        lambda file: npz(file, count=np.zeros((2, 50))),
        lambda file: npz(file, count=np.ones((2, 49))),
        lambda file: npz(file, count=np.ones(2)),
        lambda file: npz(file, count=np.array(["a"] * 100).reshape(2, 50)),
        lambda file: npz(file, gradient_weight_sum=np.full((2, 50), np.nan)),
        lambda file: npz(file, corrections=np.zeros((1, 50))),
        lambda file: npz(file, bin_edges=np.zeros(51)),
        lambda file: npz(file, count=np.full((2, 50), 1e300)),
        lambda file: npz(file, gradient_weight_sum=np.full((2, 50), -1.0)),
        lambda file: npz(file, gradient_weight_sum=np.full((2, 50), 1e307)),
        lambda file: npz(file, bin_edges=np.array({"a": 1}, dtype=object)),
    ],
)
def test_a_credit_map_without_a_digest(ddecli: Run, train: Run, damage: Callable[[Path], object]) -> None:
    assert train("--steps", 2).code == 0
    Path("run/perf.json").unlink()
    damage(Path("run/credit.npz"))
    typed = ddecli(*figure("credit"))
    assert_one_sentence(typed, "run/credit.npz is no credit map (", "): train the run again")


def test_flips_in_a_credit_map_without_a_digest_end_in_a_sentence(train: Run) -> None:
    assert train("--steps", 2).code == 0
    Path("run/perf.json").unlink()
    for place in np.linspace(0, 0.999, 500):
        put_back = flip(Path("run/credit.npz"), place)
        with contextlib.suppress(UserError):
            load_credit("run")
        put_back()


def test_settings_that_are_there_twice_or_octal(ddecli: Run) -> None:
    Path("a.yaml").write_text("beta: 10\nsteps: 5\nbeta: 20\n")
    assert_one_sentence(
        ddecli("train", "--config", "a.yaml", "--dry-run"), "a.yaml", "line 3, beta is there twice"
    )
    Path("b.yaml").write_text("steps: 010\n")
    assert_one_sentence(
        ddecli("train", "--config", "b.yaml", "--dry-run"), "b.yaml", "line 1, 010 is a number to"
    )
    Path("c.yaml").write_text("steps: 10\n")
    typed = ddecli("train", "--config", "c.yaml", "--dry-run")
    assert yaml.safe_load(typed.out)["steps"] == 10


def change(file: Path, **values: object) -> None:
    """Set values of a JSON file; DEEP is nested a thousand times."""
    text = json.dumps(json.loads(file.read_text()) | values)
    file.write_text(text.replace('"DEEP"', "[" * 1000 + "]" * 1000))


def put_in(file: Path, place: int, content: bytes) -> None:
    good = file.read_bytes()
    file.write_bytes(good[:place] + content + good[place:])


UNET = "unet/diffusion_pytorch_model.safetensors"
MODELS: list[tuple[str, Callable[[Path], object]]] = [
    ("unet/config.json", lambda file: change(file, in_channels="four")),
    ("unet/config.json", lambda file: change(file, sample_size=None)),
    ("unet/config.json", lambda file: change(file, sample_size=10**30)),
    ("unet/config.json", lambda file: change(file, more="DEEP")),
    ("unet/config.json", lambda file: change(file, down_block_types=[])),
    ("unet/config.json", lambda file: change(file, layers_per_block=[2, 10**30])),
    ("vae/config.json", lambda file: change(file, block_out_channels=7)),
    ("vae/config.json", lambda file: change(file, layers_per_block=2**63)),
    ("vae/config.json", lambda file: change(file, scaling_factor="x")),
    ("text_encoder/config.json", lambda file: change(file, hidden_size="x")),
    ("text_encoder/config.json", lambda file: file.write_text("[]")),
    ("tokenizer/tokenizer_config.json", lambda file: change(file, model_max_length="0")),
    ("tokenizer/tokenizer.json", lambda file: file.write_text('{"version": [' * 300)),
    ("scheduler/scheduler_config.json", lambda file: change(file, beta_start="x")),
    ("scheduler/scheduler_config.json", lambda file: change(file, num_train_timesteps=[])),
    ("model_index.json", lambda file: change(file, unet=7)),
    ("model_index.json", lambda file: change(file, _class_name=[])),
    ("model_index.json", lambda file: change(file, _world=["tiny"])),
    ("model_index.json", lambda file: change(file, unet=["diffusers", "Nothing"])),
    ("model_index.json", lambda file: change(file, more="DEEP")),
    (UNET, lambda file: put_in(file, 20, b"\xff\xff")),
    (UNET, lambda file: put_in(file, 0, b"\xff")),
    (UNET, lambda file: file.write_bytes(file.read_bytes()[:1000])),
]


@pytest.mark.parametrize(("name", "damage"), MODELS)
def test_a_damaged_model_is_not_sampled(
    ddecli: Run, sd_folder: Path, name: str, damage: Callable[[Path], object]
) -> None:
    shutil.copytree(sd_folder, "model")
    damage(Path("model", name))
    assert_one_sentence(
        ddecli("sample", "model", "--prompt", "a", "--steps", 1, "--out", "out", "--device", "cpu")
    )
    assert not Path("out/metadata.jsonl").exists()
    write_folder(Path("data"), [{"prompt": "a", "chosen": "0.png", "rejected": "1.png"}], 2)
    typed = ddecli("prepare", "--model", "model", "--data", "data", "--out", "store", "--device", "cpu")
    assert_one_sentence(typed)
    assert not Path("store").exists()


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", lambda file: change(file, projection_dim="")),
        ("config.json", lambda file: change(file, text_config=None)),
        ("config.json", lambda file: change(file, more="DEEP")),
        ("preprocessor_config.json", lambda file: change(file, image_mean="x")),
        ("preprocessor_config.json", lambda file: change(file, crop_size=None, size=None)),
        ("preprocessor_config.json", lambda file: change(file, image_std=[0, 0, 0])),
        ("tokenizer.json", lambda file: file.write_text("{}")),
        ("model.safetensors", lambda file: put_in(file, 20, b"\xff\xff")),
    ],
)
def test_a_damaged_scorer_is_refused_before_anything_is_scored(
    ddecli: Run, name: str, damage: Callable[[Path], object]
) -> None:
    save_clip(Path("scorer"))
    damage(Path("scorer", name))
    Image.new("RGB", (32, 32), "teal").save("a.png")
    scored = (
        "score",
        "a.png",
        "--prompt",
        "a",
        "--metric",
        "clip",
        "--scorer",
        "clip=scorer",
        "--device",
        "cpu",
    )
    assert_one_sentence(ddecli(*scored), "scorer is no CLIPModel folder")


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", lambda file: change(file, num_channels="x")),
        ("config.json", lambda file: change(file, depths=[1])),
        ("config.json", lambda file: change(file, more="DEEP")),
        ("model.safetensors", lambda file: put_in(file, 20, b"\xff\xff")),
        ("model.safetensors", lambda file: file.write_bytes(b"")),
    ],
)
def test_a_damaged_classifier_is_refused(ddecli: Run, name: str, damage: Callable[[Path], object]) -> None:
    save_classifier(Path("classifier"))
    damage(Path("classifier", name))
    Path("images").mkdir()
    for number in range(2):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(f"images/{number}.png")
    typed = ddecli("inception", "images", "--classifier", "classifier", "--splits", 1, "--device", "cpu")
    assert_one_sentence(typed, "classifier")


def test_a_table_does_not_leave_out_a_damaged_run(ddecli: Run, train: Run, sd_folder: Path) -> None:
    """Its seed and loss decide how intervals are drawn."""
    assert train("--steps", 1).code == 0
    save_clip(Path("scorer"))
    for model in (sd_folder, "run"):
        out = ("--out", Path(model).name + "-images", "--device", "cpu")
        assert (
            ddecli("sample", model, "--prompt", "a", "--images-per-prompt", 2, "--steps", 1, *out).code == 0
        )
        scorer = ("--metric", "clip", "--scorer", "clip=scorer", "--device", "cpu")
        assert ddecli("score", out[1], *scorer).code == 0
    table = ("table", f"A={sd_folder.name}-images", "B=run-images", "--json")
    before = json.loads(ddecli(*table).out)
    expected = {"run/run.yaml", "run/perf.json", "run-images/scores.parquet", "run-images/scores.json"}
    assert expected <= set(before["read"])
    put_back = flip(Path("run/run.yaml"))
    assert_one_sentence(ddecli(*table), "run/run.yaml has changed since it was written: train the run again")
    put_back()
    Path("run/perf.json").unlink()
    Path("run/run.yaml").write_text(Path("run/run.yaml").read_text().replace("seed: 0", "seed: [0]"))
    assert_one_sentence(ddecli(*table), "run/run.yaml is damaged (seed: input should be a valid integer)")
    shutil.rmtree("run")
    assert ddecli(*table).code == 0


def test_a_run_that_names_itself_as_its_base(ddecli: Run, train: Run) -> None:
    assert train("--steps", 1, "--lora", 2).code == 0
    settings = yaml.safe_load(Path("run/run.yaml").read_text())
    Path("run/run.yaml").write_text(yaml.safe_dump(settings | {"model": "run"}))
    typed = ddecli("sample", "run", "--prompt", "a", "--out", "out", "--device", "cpu")
    assert_one_sentence(typed, "run/run.yaml is damaged: it was trained on what was trained on it")
