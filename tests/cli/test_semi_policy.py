"""Semi-policy as it is typed: a reference drawn from the saved models, which draws the other pictures."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli_checks import assert_one_sentence, contents
from diffusers import StableDiffusionPipeline

from ddecli.data.store import PairStore
from ddecli.models.load import load_for_sampling, load_model
from ddecli.sampling.generate import weights_sha256
from ddecli.selfplay import iterations as of_iterations
from ddecli.selfplay.iterations import reference_of
from ddecli.training.errors import errors_by_row
from ddecli.training.settings import read_settings
from ddecli.training.trainer import Trainer

UNET = "model/unet/diffusion_pytorch_model.safetensors"
SEED = 2
"""Its second iteration plays against the model at the start, its third against that of the first."""
Run = Callable[..., Any]


@pytest.fixture
def words(sd_folder: Path, sd_store: Path) -> Callable[..., list[str]]:
    """The words of `ddecli train` in three short iterations; options may be added."""

    def made(*more: object, out: str = "run", loss: str = "seppo") -> list[str]:
        # A rate at which winners become worse, too: both sides of the criterion are met.
        given = (
            "train", "--model", sd_folder, "--data", sd_store, "--loss", loss, "--iterations", 3, "--steps", 3,
            "--batch-size", 8, "--micro-batch-size", 8, "--lr", 2e-2, "--warmup", 0, "--beta", 500,
            "--max-winner-error", "inf", "--checkpoint-every", 1, "--out", out, "--device", "cpu", "--seed", SEED,
            *more,
        )  # fmt: skip
        return list(map(str, given))

    return made


@pytest.fixture
def seppo(ddecli: Run, words: Callable[..., list[str]]) -> Run:
    """That command, typed."""
    return lambda *more, **of: ddecli(*words(*more, **of))


def first_line(run: str) -> dict[str, float]:
    found: dict[str, float] = json.loads(Path(run, "metrics.jsonl").read_text().splitlines()[0])
    return found


def weights_of(model: str) -> str:
    return weights_sha256(load_for_sampling(model, "cpu", torch.float32).unet)


def test_every_saved_model_is_drawn_alike() -> None:
    drawn = [reference_of(seed, 4) for seed in range(4000)]
    assert all(abs(drawn.count(model) - 1000) < 110 for model in range(4))  # four standard deviations
    assert {reference_of(seed, 1) for seed in range(20)} == {0}
    assert [reference_of(SEED, iteration) for iteration in (1, 2, 3)] == [0, 0, 1]


def test_the_drawn_model_draws_and_is_the_reference(seppo: Run, sd_folder: Path) -> None:
    typed = seppo()
    assert typed.code == 0, typed.error
    assert "Semi-policy, iteration 3 of 3: from run/iteration-2, against run/iteration-1." in typed.error
    runs = ["run/iteration-1", "run/iteration-2", "run"]
    found = [read_settings(Path(run, "run.yaml")) for run in runs]
    start = str(sd_folder)
    assert [each.model for each in found] == [start, "run/iteration-1", "run/iteration-2"]
    assert [each.reference_model for each in found] == [None, start, "run/iteration-1"]
    plans = [PairStore.open(Path(str(each.data))).manifest["self_play"] for each in found]
    drawn = [weights_of(model) for model in (start, start, "run/iteration-1")]
    assert [plan["unet_sha256"] for plan in plans] == drawn
    assert first_line(runs[0])["loss"] == pytest.approx(math.log(2), abs=1e-7)

    trainer = Trainer(found[2])  # the third iteration's first loss, from the models that were saved
    batch = trainer.batches(range(8))
    errors = []
    for name in ("run/iteration-2", "run/iteration-1"):
        model = load_model(name).with_errors_of("native")
        with torch.no_grad():
            errors += errors_by_row(model, batch, trainer.autocast()).view(2, 8).tolist()
    losses, signs = [], set()
    for w, l, reference_w, reference_l in zip(*errors, strict=True):
        sign = (reference_w > w) - (reference_w < w)
        signs.add(sign)
        z = -250 * ((w - reference_w) - sign * (l - reference_l))
        losses.append(math.log1p(math.exp(-z)))
    assert first_line("run")["loss"] == pytest.approx(sum(losses) / 8, rel=1e-2) != math.log(2)
    assert signs == {1, -1}
    StableDiffusionPipeline.from_pretrained("run/model", safety_checker=None)  # as any model


@pytest.mark.two_threads
def test_killed_it_goes_on_to_the_same_model(seppo: Run, words: Callable[..., list[str]]) -> None:
    """SIGKILL within the second iteration; then a saved model is missing, and is made again."""
    assert seppo(out="whole").code == 0
    command = [sys.executable, "-m", "ddecli", *words()]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = Path("run/iteration-2/metrics.jsonl")
    while process.poll() is None and not (log.exists() and log.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not Path("run/model").exists()
    shutil.rmtree("run/iteration-1")
    typed = seppo("--resume")
    assert typed.code == 0, typed.error
    for run in ("", "iteration-1/", "iteration-2/"):
        assert (Path("run") / run / UNET).read_bytes() == (Path("whole") / run / UNET).read_bytes()
    before = contents("run")
    again = seppo("--resume")
    assert again.code == 0 and "is finished" in again.error
    assert contents("run") == before


def test_stopped_among_the_pictures_of_the_reference(seppo: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seppo(out="whole", loss="sspo").code == 0
    draw = of_iterations.SelfPlayStore.draw

    def stopped(self: Any, share: tuple[int, int] = (1, 1)) -> None:
        if self.opponent.iteration == 3:
            raise KeyboardInterrupt
        draw(self, share)

    with monkeypatch.context() as patch:
        patch.setattr(of_iterations.SelfPlayStore, "draw", stopped)
        assert seppo(loss="sspo").code == 130
    assert seppo("--resume", loss="sspo").code == 0
    assert Path("run", UNET).read_bytes() == Path("whole", UNET).read_bytes()


def test_both_versions_and_no_criterion_differ(seppo: Run, ddecli: Run) -> None:
    for out, loss, more in (
        ("first", "seppo", ()),
        ("second", "sspo", ()),
        ("named", "seppo", ("--anchor", "switch")),
        ("neither", "seppo", ("--anchor", "none")),
        ("dpo", "uniform", ("--pairs", "semi-policy")),
    ):
        assert seppo("--iterations", 2, *more, out=out, loss=loss).code == 0
    models = {out: Path(out, UNET).read_bytes() for out in ("first", "second", "named", "neither", "dpo")}
    assert models["second"] == models["named"] and models["neither"] == models["dpo"]
    assert len(set(models.values())) == 3
    lines = ddecli("train", "--loss", "sspo", "--dry-run").out.splitlines()
    shown = {line.split(":")[0]: line.split("#")[0].split(":")[1].strip() for line in lines}
    assert [shown[name] for name in ("pairs", "iterations", "anchor", "out")] == [
        "semi-policy", "7", "switch", "runs/tiny-sspo",
    ]  # fmt: skip
    typed = ddecli("train", "--loss", "dde", "--pairs", "semi-policy", "--dry-run")
    assert yaml.safe_load(typed.out)["out"] == "runs/tiny-dde-semi-policy"


def test_adapters_have_another_model_for_a_reference(seppo: Run) -> None:
    typed = seppo("--lora", 2, "--pairs", "semi-policy", loss="dde")
    assert typed.code == 0, typed.error
    assert read_settings(Path("run/run.yaml")).reference_model == "run/iteration-1"
    line = first_line("run")
    assert line["error_policy_w"] != line["error_reference_w"]


def test_what_cannot_be_played_is_refused(seppo: Run, ddecli: Run, sdxl_folder: Path) -> None:
    typed = seppo("--pairs", "semi-policy", loss="sft")
    assert_one_sentence(typed, "sft looks at no rejected pictures", "--pairs semi-policy")
    assert_one_sentence(
        seppo("--reference-ema", 0.9), "--reference-ema: in semi-policy the reference is one of"
    )
    assert_one_sentence(seppo("--anchor", "sign"), "--anchor 'sign'", "'push-pull', 'switch' or 'none'")
    assert_one_sentence(
        seppo("--reference-only"), "pairs that are there before training: leave out semi-policy"
    )
    typed = seppo("--labels", "soft", "--pairs", "semi-policy", loss="uniform")
    assert_one_sentence(typed, "nobody has voted on pictures of semi-policy")
    assert not contents("run")
    assert seppo().code == 0
    before = contents("run")
    assert_one_sentence(seppo("--resume", "--anchor", "none"), "started with anchor 'push-pull', not 'none'")
    for name, value in (("reference_sha256", "0" * 64), ("reference_model", str(sdxl_folder))):
        changed = yaml.safe_load(Path("run/run.yaml").read_text()) | {name: value}
        Path("other.yaml").write_text(
            yaml.safe_dump(changed | ({"reference_sha256": None} if name[-1] == "l" else {}))
        )
        said = (
            "not those of the reference" if name[-1] == "6" else "cannot be the reference of run/iteration-2"
        )
        assert_one_sentence(ddecli("train", "--config", "other.yaml", "--out", "other"), said)
    given = yaml.safe_load(Path("run/run.yaml").read_text())
    for changed, said in (
        ({"loss": "mapo", "beta": 1.0}, "reference_model: the loss mapo looks at no reference"),
        ({"reference_ema": 0.9}, "reference_model: --reference-ema has a reference of its own"),
        ({"pairs": "self-play"}, "reference_model: --pairs self-play has a reference of its own"),
        ({"reference_model": "nowhere"}, "nowhere"),
    ):
        Path("other.yaml").write_text(yaml.safe_dump(given | {"reference_sha256": None} | changed))
        assert_one_sentence(ddecli("train", "--config", "other.yaml", "--out", "other"), said)
    assert contents("run") == before and not contents("other")
    assert (
        ddecli("train", "--config", "run/run.yaml", "--out", "again").code == 0
    )  # an iteration alone repeats
    assert Path("again", UNET).read_bytes() == Path("run", UNET).read_bytes()
