"""Labels that are no certainties: what `ddecli prepare` keeps of votes, and what `ddecli train --labels soft` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from cli_checks import assert_one_sentence, contents
from pair_data import png

from ddecli.data.store import PairStore
from ddecli.training.settings import resolve_settings
from ddecli.training.trainer import Trainer

Run = Callable[..., Any]
UNET = "model/unet/diffusion_pytorch_model.safetensors"
VOTES = [(7, 3), (0, 4), (5, 5), (9, 1), (2, 3)]


def parquet(name: str, columns: dict[str, list[Any]]) -> Path:
    """A table with prompts and pictures 2i and 2i + 1, and some columns more."""
    count = len(next(iter(columns.values())))
    pictures = ("path1", "path2") if "choice_dist" in columns else ("image1", "image2")
    rows = [
        {"prompt": f"prompt {i}", pictures[0]: png(2 * i), pictures[1]: png(2 * i + 1)}
        | {name: values[i] for name, values in columns.items()}
        for i in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), name)
    return Path(name)


@pytest.fixture
def prepared(ddecli: Run, sd_folder: Path) -> Callable[[str, dict[str, list[Any]]], PairStore]:
    """`ddecli prepare` of a table with such columns."""

    def make(name: str, columns: dict[str, list[Any]]) -> PairStore:
        data = parquet(f"{name}.parquet", columns)
        typed = ddecli("prepare", "--model", sd_folder, "--data", data, "--out", name, "--json")
        assert typed.code == 0, typed.error
        return PairStore.open(Path(name))

    return make


@pytest.fixture
def train(ddecli: Run, sd_folder: Path) -> Run:
    """`ddecli train` of a few steps."""

    def typed(*words: object, data: str = "votes", out: str = "run", loss: str = "uniform") -> Any:
        return ddecli(
            "train", "--model", sd_folder, "--data", data, "--loss", loss, "--steps", 3, "--batch-size", 4,
            "--micro-batch-size", 4, "--lr", 1e-3, "--beta", 500, "--out", out, "--device", "cpu", *words,
        )  # fmt: skip

    return typed


def losses(run: str) -> list[float]:
    return [json.loads(line)["loss"] for line in Path(run, "metrics.jsonl").read_text().splitlines()]


def read_back(store: PairStore) -> list[float | None]:
    """Strengths in the order of the rows; they are those that training takes, where one that is not known is 1."""
    found = [store.pair(number) for number in range(len(store))]
    assert store.strengths is not None
    assert store.strengths.tolist() == [1.0 if pair.strength is None else pair.strength for pair in found]
    return [pair.strength for pair in sorted(found, key=lambda pair: pair.prompt)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (
            {"votes_image1": [a for a, _ in VOTES], "votes_image2": [b for _, b in VOTES]},
            [0.7, 1.0, 0.9, 0.6],
        ),
        ({"choice_dist": [[9, 3], [3, 9], None, [0, 7]]}, [0.75, 0.75, None, 1.0]),
        ({"label_0": [1.0, 0.0, 0.5, 0.3], "label_1": [0.0, 1.0, 0.5, 0.7]}, [1.0, 1.0, 0.7]),
        (
            {
                "weighted_results_image1_preference": [0.8, 0.25],
                "weighted_results_image2_preference": [0.2, 0.75],
            },
            [0.8, 0.75],
        ),
    ],
)
def test_strengths_of_the_published_kinds_of_votes(
    prepared: Callable[..., PairStore], columns: dict[str, list[Any]], expected: list[float]
) -> None:
    store = prepared("votes", columns)
    assert read_back(store) == pytest.approx(expected)


def test_winners_that_are_named_have_no_strength(prepared: Callable[..., PairStore]) -> None:
    store = prepared("named", {"winner": ["left", "right", "tie"]})
    assert store.strengths is None and store.pair(0).strength is None
    assert "strength" not in pq.read_schema("named/pairs.parquet").names


def test_a_vote_is_a_weight(train: Run, prepared: Callable[..., PairStore], sd_folder: Path) -> None:
    """Every pair has its own strength, in every cut of a batch; hard is what was done before and the default."""
    store = prepared("votes", {"votes_image1": [a for a, _ in VOTES], "votes_image2": [b for _, b in VOTES]})
    for out, words in (
        ("hard", ()),
        ("said", ("--labels", "hard")),
        ("soft", ("--labels", "soft")),
        ("cut", ("--labels", "soft", "--micro-batch-size", 3)),
    ):
        typed = train(*words, out=out)
        assert typed.code == 0, typed.error
    assert yaml.safe_load(Path("hard/run.yaml").read_text())["labels"] == "hard"
    assert Path("hard", UNET).read_bytes() == Path("said", UNET).read_bytes()
    assert losses("soft")[0] == pytest.approx(losses("hard")[0]) and losses("soft")[2] != losses("hard")[2]
    assert losses("cut") == pytest.approx(losses("soft"), rel=3e-4)
    assert json.loads(Path("soft/metrics.jsonl").read_text().splitlines()[0])["logit"] is None

    given = {
        "model": str(sd_folder),
        "data": "votes",
        "loss": "uniform",
        "lr": 1e-3,
        "device": "cpu",
        "out": "x",
    }
    trainer = Trainer(resolve_settings(given | {"labels": "soft", "batch_size": 4, "micro_batch_size": 4}))
    batch, rows = trainer.batches(range(9)), trainer.batches.draws.batch(range(9)).pair_index
    expected = [store.pair(row).strength for row in rows.tolist()]
    assert batch.strength is not None and batch.strength.tolist() == 2 * expected
    assert [float(batch.pair(row).strength[0]) for row in range(9)] == expected  # type: ignore[index]


def test_certain_votes_are_hard_labels_to_the_last_bit(
    train: Run, prepared: Callable[..., PairStore]
) -> None:
    prepared("votes", {"label_0": [1.0, 0.0, 0.0, 1.0]})
    assert train("--labels", "hard", out="hard").code == 0
    typed = train("--labels", "soft", out="soft")
    assert typed.code == 0 and "Every label of votes is certain" in typed.error
    assert Path("hard", UNET).read_bytes() == Path("soft", UNET).read_bytes()
    assert losses("hard") == losses("soft")


def test_kept_errors_of_the_reference_serve_both(train: Run, prepared: Callable[..., PairStore]) -> None:
    prepared("votes", {"votes_image1": [7, 2, 6], "votes_image2": [3, 8, 1]})
    assert train(out="hard").code == 0 and train("--labels", "soft", out="soft").code == 0
    draws = [json.loads(Path(run, "perf.json").read_text())["reference_draws"] for run in ("hard", "soft")]
    assert draws == [{"read": 0, "computed": 12}, {"read": 12, "computed": 0}]


def test_a_soft_run_goes_on_as_a_soft_one(train: Run, prepared: Callable[..., PairStore]) -> None:
    prepared("votes", {"votes_image1": [7, 2, 6], "votes_image2": [3, 8, 1]})
    assert train("--labels", "soft", out="whole").code == 0
    assert train("--labels", "soft", "--steps", 2).code == 0
    before = contents("run")
    assert_one_sentence(train("--resume"), "run was started with labels 'soft', not 'hard'")
    assert contents("run") == before
    assert train("--labels", "soft", "--resume").code == 0
    assert Path("run", UNET).read_bytes() == Path("whole", UNET).read_bytes()


def test_what_cannot_be_soft_is_refused(train: Run, ddecli: Run, prepared: Callable[..., PairStore]) -> None:
    prepared("named", {"winner": ["left", "right"]})
    typed = train("--labels", "soft", data="named")
    assert_one_sentence(typed, "named holds no strengths of labels, which --labels soft needs", "leave out")
    assert not contents("run")
    for loss in ("sft", "mapo", "dspo", "kto", "linear-dpo", "seppo"):
        typed = train("--labels", "soft", loss=loss)
        assert_one_sentence(typed, f"--labels soft: the loss {loss} takes no strengths of labels")
    assert_one_sentence(train("--labels", "soft", loss="spin"), "nobody has voted on pictures of self-play")
    assert_one_sentence(train("--labels", "half"), "--labels 'half'", "'hard' or 'soft'")
    assert not contents("run")
    typed = ddecli("train", "--loss", "uniform", "--labels", "soft", "--dry-run")
    assert yaml.safe_load(typed.out)["out"] == "runs/tiny-uniform-soft"
    assert yaml.safe_load(ddecli("train", "--loss", "dde", "--dry-run").out)["labels"] == "hard"
