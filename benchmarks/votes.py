"""How far votes bring the tiny model: on pictures that it drew itself, cast at the page of `ddecli collect`.

    python benchmarks/votes.py --work votes-bench --votes 100 400

One of the world's annotators votes in the place of a person: sees the two pictures that the page sends, finds in each
what the world's judge reads in it, and prefers one by the rule and with the noise of the world's voters. The model is
trained on the votes by its recipe, once for every number of votes, and its pictures of unseen captions are compared
with the base's.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from ddecli.core.files import write_json
from ddecli.core.manifest import machine, versions
from ddecli.core.scores import load_scores
from ddecli.core.seeds import numpy_rng
from ddecli.scoring.sources import read_source
from ddecli.scoring.truth import UTILITY_SPAN
from ddecli.stats.metrics import is_part
from ddecli.tinyworld.annotators import VOTERS

METRICS = [
    word for name in ("clip", "hps", "pickscore", "truth", "attributes") for word in ("--metric", name)
]


def ddecli(work: Path, *words: object) -> str:
    """Run a command in a folder: what it printed."""
    command = [sys.executable, "-m", "ddecli", *map(str, words)]
    return subprocess.run(command, cwd=work, check=True, stdout=subprocess.PIPE, text=True).stdout


def pixels(image: Image.Image) -> str:
    """A digest of what is seen."""
    return hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()


def utilities(folder: Path) -> dict[str, float]:
    """What the voters find in every picture of a scored folder, by its pixels."""
    truth = load_scores(folder).metric("truth")
    rows = zip(truth.prompt_id.tolist(), truth.image_index.tolist(), truth.score.tolist(), strict=True)
    scores = {(prompt, index): score for prompt, index, score in rows}
    return {
        pixels(Image.open(image.path)): UTILITY_SPAN * (scores[image.prompt_id, image.image_index] - 1)
        for image in read_source([folder]).images
    }


@contextlib.contextmanager
def page(work: Path, *words: object) -> Iterator[httpx.Client]:
    """A `ddecli collect` that runs."""
    command = [sys.executable, "-m", "ddecli", "collect", *map(str, words), "--port", "0"]
    process = subprocess.Popen(
        command, cwd=work, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stderr is not None
        said = ""
        while not (found := re.search(r"http://\S+", said)):
            said += process.stderr.readline()
        yield httpx.Client(base_url=found[0], timeout=60)
        process.send_signal(signal.SIGINT)
        process.wait()
    finally:
        process.kill()


def vote(client: httpx.Client, found: dict[str, float], voter: str) -> None:
    """Vote on every pair."""
    rng = numpy_rng("votes", voter)
    state: dict[str, Any] = client.get("state", params={"voter": voter}).json()
    while (pair := state["pair"]) is not None:
        left, right = (
            found[pixels(Image.open(io.BytesIO(client.get(pair[side]).content)))]
            for side in ("left", "right")
        )
        for_left, for_right = VOTERS.vote_chances(np.array(left - right))
        drawn = rng.random()
        choice = "left" if drawn < for_left else "right" if drawn < for_left + for_right else "tie"
        body = {"voter": voter, "pair": pair["id"], "choice": choice}
        answer = client.post("vote", json=body)
        answer.raise_for_status()
        state = answer.json()


def trained(work: Path, number: int, unseen: tuple[object, ...]) -> dict[str, Any]:
    """Have so many pairs voted on, train on the votes, and compare; what is there already is kept."""
    drawn = ("--num-prompts", number, "--images-per-prompt", 2, "--seed", 1_000_000)
    ddecli(work, "sample", "tiny", "--prompts", "world:train", *drawn, "--out", f"images/voted-{number}")
    ddecli(work, "score", f"images/voted-{number}", "--metric", "truth")
    with page(work, f"images/voted-{number}", "--out", f"votes-{number}") as client:
        vote(client, utilities(work / "images" / f"voted-{number}"), "annotator")
    ddecli(work, "prepare", "--model", "tiny", "--data", f"votes-{number}", "--out", f"pairs-{number}")
    run = ("--data", f"pairs-{number}", "--out", f"runs/{number}", "--resume")
    ddecli(work, "train", "--model", "tiny", "--loss", "dde", *run)
    ddecli(work, "sample", f"runs/{number}", *unseen, "--out", f"images/after-{number}")
    scored = ("score", f"images/after-{number}", "--against", "images/before", *METRICS, "--json")
    summary = json.loads(ddecli(work, "collect", "--out", f"votes-{number}", "--summary", "--json"))
    kept = ("mean_b", "difference", "difference_interval", "beat_ratio", "beat_interval")
    found = {
        row["metric"]: {name: np.round(row[name], 5).tolist() for name in kept}
        for row in json.loads(ddecli(work, *scored))["comparison"]
        if not is_part(row["metric"])
    }
    return {"pairs": summary["pairs"], "decided": summary["decided"], "comparison": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--votes", type=int, nargs="+", default=[100, 400], help="numbers of pairs voted on")
    parser.add_argument("--prompts", type=int, default=400, help="unseen captions, two pictures each")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs and pictures")
    parser.add_argument("--out", type=Path, help="record; votes-tiny.json in the folder if not given")
    arguments = parser.parse_args()
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    unseen = ("--prompts", "world:test", "--num-prompts", arguments.prompts, "--images-per-prompt", 2)
    ddecli(work, "sample", "tiny", *unseen, "--out", "images/before")
    ddecli(work, "score", "images/before", *METRICS)
    votes = " ".join(map(str, arguments.votes))
    record = {
        "command": f"python benchmarks/votes.py --work {work.name} --votes {votes} --prompts {arguments.prompts}",
        "votes": {str(number): trained(work, number, unseen) for number in arguments.votes},
        "machine": machine(),
        "versions": versions(),
    }
    out = (arguments.out or work / "votes-tiny.json").resolve()
    write_json(out, record)
    print(f"Written: {out}")


if __name__ == "__main__":
    main()
