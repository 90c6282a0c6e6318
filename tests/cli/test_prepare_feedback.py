"""`ddecli prepare` of a model's own images: a scored sample, or one that is drawn first."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from cli_checks import assert_one_sentence, contents

from ddecli.core.files import sha256_file
from ddecli.data.store import PairStore
from ddecli.feedback import drawn
from ddecli.models.load import load_for_sampling
from ddecli.sampling.folder import ImageTask
from ddecli.sampling.generate import initial_latents

Run = Callable[..., Any]
SHORT = ("--device", "cpu")
METRICS = ("pickscore", "clip", "truth")


def done(ddecli: Run, *words: object) -> dict[str, Any]:
    typed = ddecli(*words, "--json")
    assert typed.code == 0, typed.error
    said: dict[str, Any] = json.loads(typed.out)
    return said


@pytest.fixture
def sampled(ddecli: Run, world_folder: Path) -> Path:
    """Five prompts of three images, with a seed of their own, scored."""
    done(
        ddecli, "sample", world_folder, "--prompts", "world:train", "--num-prompts", 5, "--images-per-prompt", 3,
        "--steps", 2, "--seed", 7, "--out", "images", *SHORT,
    )  # fmt: skip
    done(ddecli, "score", "images", *[word for metric in METRICS for word in ("--metric", metric)], *SHORT)
    return world_folder


def scores_of(folder: str, metric: str) -> dict[str, dict[int, float]]:
    """Prompt's id -> image's number -> score."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in pq.read_table(f"{folder}/scores.parquet").to_pylist():
        if row["metric"] == metric:
            found[row["prompt_id"]][row["image_index"]] = row["score"]
    return found


def pairs_of(out: str) -> dict[tuple[str, int, int], float]:
    """Prompt's id, number of the chosen and of the rejected image -> margin; the pictures are looked at."""
    store = PairStore.open(Path(out))
    images = Path(store.manifest["source"])
    found = {}
    for pair in map(store.pair, range(len(store))):
        prompt, _, numbers = pair.pair_id.split(":")
        better, worse = map(int, numbers.split(">"))
        names = [f"{prompt}-{number:02d}.png" for number in (better, worse)]
        assert [pair.chosen_sha256, pair.rejected_sha256] == [sha256_file(images / name) for name in names]
        assert pair.score_gap is not None
        found[prompt, better, worse] = pair.score_gap
    return found


def test_best_against_worst_or_every_two(ddecli: Run, sampled: Path) -> None:
    prepare = ("prepare", "--model", sampled, "--data", "images", "--relabel", "pickscore")
    said = done(ddecli, *prepare)
    assert said["out"] == "pairs/images-random-world" and (said["pairs"], said["prompts"]) == (5, 6)
    scores = scores_of("images", "pickscore")
    best, every = {}, {}
    for prompt, own in scores.items():
        high, low = max(own, key=own.__getitem__), min(own, key=own.__getitem__)
        best[prompt, high, low] = own[high] - own[low]
        for pair in combinations(own, 2):
            better, worse = sorted(pair, key=own.__getitem__, reverse=True)
            every[prompt, better, worse] = own[better] - own[worse]
    assert pairs_of("pairs/images-random-world") == pytest.approx(best, abs=1e-6)
    done(ddecli, *prepare, "--pairs", "all", "--out", "every", "--holdout", 0.4)
    held_out = pairs_of("every-holdout")
    assert held_out and held_out | pairs_of("every") == pytest.approx(every, abs=1e-6)
    least = float(np.median(list(every.values())))
    said = done(ddecli, *prepare, "--pairs", "all", "--relabel-threshold", least, "--out", "some")
    assert pairs_of("some") == pytest.approx(
        {name: gap for name, gap in every.items() if gap >= least}, abs=1e-6
    )
    assert said["dropped"] == {"tie": sum(gap < least for gap in every.values())}
    store = PairStore.open(Path("some"))
    card = json.loads(Path("images/scores.json").read_text())["scorers"]["pickscore"]
    assert store.manifest["relabel"] == card | {"threshold": least}
    typed = ddecli(*prepare)
    assert typed.code == 0 and "is complete" in typed.error


def test_the_noise_of_each_image_is_kept(ddecli: Run, sampled: Path) -> None:
    done(ddecli, "prepare", "--model", sampled, "--data", "images", "--relabel", "clip", "--out", "store")
    model = load_for_sampling(str(sampled))
    store = PairStore.open(Path("store"))
    for pair in map(store.pair, range(len(store))):
        prompt, seed, numbers = pair.pair_id.split(":")
        assert seed == "7" and pair.noise is not None
        for number, noise in zip(numbers.split(">"), pair.noise, strict=True):
            begun = initial_latents(model, ImageTask(pair.prompt, prompt, int(number)), 7)
            again = torch.randn(store.latent_shape, generator=torch.Generator().manual_seed(noise))
            assert torch.equal(again, begun)


def test_several_scorers_vote(ddecli: Run, sampled: Path) -> None:
    words = [word for metric in METRICS for word in ("--relabel", metric)]
    done(
        ddecli, "prepare", "--model", sampled, "--data", "images", *words, "--pairs", "all", "--out", "store"
    )
    scores = [scores_of("images", metric) for metric in METRICS]
    expected = {}
    for prompt in scores[0]:
        for first, second in combinations(range(3), 2):
            lead = sum(np.sign(own[prompt][first] - own[prompt][second]) for own in scores)
            if lead:
                better, worse = (first, second) if lead > 0 else (second, first)
                expected[prompt, better, worse] = abs(lead) / 3
    assert pairs_of("store") == pytest.approx(expected) and len(set(expected.values())) > 1
    done(ddecli, "prepare", "--model", sampled, "--data", "images", *words, "--out", "best")
    best = {}
    for prompt in scores[0]:
        won = [
            sum(np.sign(own[prompt][image] - own[prompt][other]) for own in scores for other in range(3))
            for image in range(3)
        ]
        ends = won.index(max(won)), won.index(min(won))  # the same where scorers disagree in a circle: a tie
        best |= {
            name: lead for name, lead in expected.items() if name in ((prompt, *ends), (prompt, *ends[::-1]))
        }
    assert pairs_of("best") == pytest.approx(best) and best


def test_images_are_drawn_scored_and_trained_on(ddecli: Run, world_folder: Path) -> None:
    words = (
        "prepare",
        "--model",
        world_folder,
        "--generate",
        3,
        "--num-prompts",
        4,
        "--relabel",
        "pickscore",
        *SHORT,
    )
    typed = ddecli(*words)
    assert typed.code == 0, typed.error
    assert "3 images a prompt, sampled with seed 1000000" in typed.error
    images, out = Path("pairs/generated-random-world-images"), "pairs/generated-random-world"
    protocol = json.loads((images / "protocol.json").read_text())
    assert (protocol["seed"], protocol["prompt_set"], protocol["images_per_prompt"]) == (
        10**6,
        "world:train",
        3,
    )
    assert len(pairs_of(out)) == 4
    before = contents(images)
    typed = ddecli(*words)
    assert typed.code == 0 and "is complete" in typed.error and contents(images) == before
    trained = ddecli(
        "train", "--model", world_folder, "--loss", "uniform", "--data", out, "--steps", 2, "--batch-size", 2,
        "--lr", 1e-4, "--beta", 10, "--out", "run", *SHORT,
    )  # fmt: skip
    assert trained.code == 0, trained.error
    assert yaml.safe_load(Path("run/run.yaml").read_text())["data"] == out
    done(ddecli, *words, "--from", "run", "--seed", 3, "--prompts", "world:test", "--out", "next")
    protocol = json.loads(Path("next-images/protocol.json").read_text())
    assert (protocol["model"]["name"], protocol["seed"]) == ("run", 10**6 + 3)
    typed = ddecli(*words, "--seed", 4, "--prompts", "world:test", "--out", "next")
    assert_one_sentence(typed, "next-images holds images made with other settings", "--overwrite")


@pytest.mark.parametrize("stopped", ["sample_images", "score_images"])
def test_a_stopped_command_goes_on(
    stopped: str, ddecli: Run, world_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "prepare",
        "--model",
        world_folder,
        "--generate",
        2,
        "--num-prompts",
        3,
        "--relabel",
        "clip",
        *SHORT,
    )
    done(ddecli, *words, "--out", "whole")

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drawn, stopped, stop)
        assert ddecli(*words, "--out", "store").code != 0
    assert not Path("store").exists()
    done(ddecli, *words, "--out", "store")
    assert pairs_of("store") == pairs_of("whole")
    assert contents("store")["latents-00000.safetensors"] == contents("whole")["latents-00000.safetensors"]


WRONG = {
    "--generate 1 --relabel clip": "--generate 1 draws one image a prompt, and a pair has two: give 2 or more.",
    "--generate 2": "--generate needs a scorer that decides: give --relabel pickscore, or another.",
    "--generate 2 --relabel clip --data images": "--data means nothing with --generate: leave one of them out.",
    "--generate 2 --relabel clip --shard 1/2": "--generate draws in one process: share the work with ddecli sample",
    "--from tiny": "--from means nothing without --generate: give both, or neither.",
    "--prompts world:test": "--prompts means nothing without --generate: give both, or neither.",
    "--pairs all": "--pairs all is for the images of a sample, which world is not: leave it out.",
}


@pytest.mark.parametrize("words", WRONG)
def test_options_that_do_not_go_together(words: str, ddecli: Run, world_folder: Path) -> None:
    assert_one_sentence(ddecli("prepare", "--model", world_folder, *words.split(), *SHORT), WRONG[words])
    assert contents(".") == {}


def test_real_models_need_prompts(ddecli: Run, sd_folder: Path) -> None:
    typed = ddecli("prepare", "--model", sd_folder, "--generate", 2, "--relabel", "clip", *SHORT)
    assert_one_sentence(typed, "needs --prompts to draw for: a file with one prompt a line")
    assert contents(".") == {}


def test_samples_that_make_no_pairs(ddecli: Run, sampled: Path) -> None:
    prepare = ("prepare", "--model", sampled, "--out", "store", *SHORT)
    for words, said in (
        (("--data", "images"), "images is a sample, whose images nobody compared: say which scorer decides"),
        (("--data", "images", "--relabel", "hps"), "run ddecli score images --metric hps first."),
        (("--data", "images", "--relabel", "clip", "--scorer", "clip=x"), "--scorer clip=x is not needed"),
        (("--data", "images", "--relabel", "clip", "--relabel-threshold", 99), "no usable pair: tie: 5."),
    ):
        before = contents(".")
        assert_one_sentence(ddecli(*prepare, *words), said)
        assert contents(".") == before
    picture = next(Path("images").glob("*-00.png"))
    picture.write_bytes(next(Path("images").glob("*-01.png")).read_bytes())
    typed = ddecli(*prepare, "--data", "images", "--relabel", "clip")
    assert_one_sentence(typed, "The images of images are not those that were scored")
    Path("images/scores.parquet").unlink()
    typed = ddecli(*prepare, "--data", "images", "--relabel", "clip")
    assert_one_sentence(typed, "images is not scored: run ddecli score images --metric clip first.")
    Path("images/metadata.jsonl").unlink()
    assert_one_sentence(ddecli(*prepare, "--data", "images", "--relabel", "clip"), "images is not finished")
    done(
        ddecli, "sample", sampled, "--prompt", "a red circle", "--images-per-prompt", 1, "--steps", 1,
        "--out", "one", *SHORT,
    )  # fmt: skip
    done(ddecli, "score", "one", "--metric", "clip", *SHORT)
    typed = ddecli(*prepare, "--data", "one", "--relabel", "clip")
    assert_one_sentence(typed, "no usable pair: prompt with fewer than two scored images: 1.")
