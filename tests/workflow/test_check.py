"""What is wrong with an experiment's configuration is said before anything runs, in a sentence with file and key."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_models
import yaml

from ddecli.core.errors import UserError
from ddecli.workflow.check import check_experiment
from ddecli.workflow.keys import check_keys
from ddecli.workflow.options import SET_BY_RULES, check_options, words_of
from ddecli.workflow.runs import FIRST_SEED, all_runs, grid_runs, regime_runs, second_sample

WORKFLOW = Path(__file__).parents[2] / "workflow"
SCHEMA = WORKFLOW / "schemas" / "config.schema.yaml"
CONFIG: dict[str, Any] = {
    "name": "own",
    "title": "An experiment of one's own",
    "pathvars": {"results": "results", "paper": "paper", "logs": "logs", "benchmarks": "benchmarks"},
    "models": {
        "m": {
            "source": "tiny",
            "paper": "SD15",
            "choices": "recipe",
            "grid": {"beta": ["5"], "lr": ["1e-05"], "seeds": 2},
            "prepare": {},
            "train": {"steps": 3},
            "sample": {"prompts": "world:test"},
            "classes": {"prompts": "world:classes"},
            "score": {"metric": ["clip", "hps"]},
            "inception": {"classifier": "tiny"},
            "methods": {
                "uniform": {"label": "Uni", "loss": "uniform", "seeds": 1, "train": {}},
                "dde": {"label": "DDE", "loss": "dde", "seeds": 2, "train": {"beta": 30}},
            },
            "segments": {"loss": "uniform", "seeds": 1, "ranges": ["0-0.1"]},
            "regime": {
                "losses": ["uniform", "dde"],
                "betas": ["20", "320"],
                "seeds": 2,
                "train": {"steps": 9},
            },
        }
    },
    "grid": {"sample": {"prompts": "world:validation"}, "train": {}, "judges": ["clip"]},
    "tables": {2: {"model": "m", "methods": ["uniform", "dde"]}, 4: {"m": "dde"}},
    "gpus": {},
    "shards": 1,
}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def changed(key: str, value: Any) -> dict[str, Any]:
    """The configuration with another value at `a.b.c`; None removes the key."""
    config = copy.deepcopy(CONFIG)
    *path, last = [int(part) if part.isdigit() else part for part in key.split(".")]
    place: Any = config
    for part in path:
        place = place[part]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return config


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        check_keys(config, SCHEMA, ["own.yaml"])
        check_experiment(config, ["own.yaml"])
    said = str(caught.value)
    assert said.startswith("own.yaml: ") and "\n" not in said and said[-1] in ".?"
    return said.removeprefix("own.yaml: ")


def test_a_right_one_is_taken() -> None:
    check_keys(CONFIG, SCHEMA, ["own.yaml"])
    check_experiment(CONFIG, ["own.yaml"])


def test_samples_may_have_timesteps_of_another_spacing() -> None:
    config = changed("models.m.sample", {"prompts": "world:test", "spacing": "trailing"})
    check_experiment(config, ["own.yaml"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("tables.2.methods", ["uniform", "dda"], "2.methods: the model m has no method 'dda'; did you mean dde?"),
        ("tables.2.model", "mm", "tables.2.model: there is no model 'mm'; did you mean m?"),
        ("tables.2.methods", ["dde", "dde"], "tables.2.methods names a method twice."),
        ("tables.4", {"m": "uniforn"}, "tables.4.m: the model m has no method 'uniforn'; did you mean u"),
        ("tables.4", {"mm": "dde"}, "tables.4: there is no model 'mm'; did you mean m?"),
        ("models.m.sedes", 3, "models.m.sedes is no known key; did you mean segments?"),
        ("models.m.methods.dde.loss", "dd", "models.m.methods.dde.loss: there is no 'dd'; did you mean dde?"),
        ("models.m.sample", None, "models.m has no 'sample', which it needs."),
        ("shards", 0, "shards: 0 is less than the minimum of 1"),
        ("models.m.train", {"compile": False}, "models.m.train.compile: False cannot be used here"),
        ("grid", None, "models.m.grid: the configuration has no `grid`"),
        ("grid.judges", ["pickscore"], "grid.judges: 'pickscore' is no metric of models.m.score; there is clip, hps."),
        ("models.m.methods.dde.label", "Uni", "models.m.methods: the label 'Uni' stands for 2 rows"),
        ("models.m.methods.dde.label", "m", "models.m.methods: the label 'm' stands for 2 rows"),
        ("models.m.methods.dde.loss", "uniform", "models.m.methods.dde: what is called dde must be trained with"),
        ("models.m.methods.dde.train", {"segment": "0.2-0.7"}, "models.m.methods.dde: what is called dde must"),
        ("models.n", CONFIG["models"]["m"], "models.n.paper: m stands for the paper's SD15 already; leave one out."),
        ("models.m.segments.loss", "sft", "models.m.segments.loss: no method has the loss 'sft'"),
        ("models.m.segments.ranges", ["0.5-0.1"], "models.m.segments.ranges: The segment '0.5-0.1' is not"),
        ("models.m.regime.losses", ["dde", "sft"], "models.m.regime.losses: sft has no beta to differ in"),
        ("models.m.regime.losses", ["dde", "dde"], "models.m.regime.losses: ['dde', 'dde'] has non-unique elements"),
        ("models.m.regime.betas", ["20", "20.0"], "models.m.regime.betas: 20 is there 2 times; write it once."),
        ("models.m.regime.betas", [], "models.m.regime.betas: [] should be non-empty"),
        ("models.m.regime.betas", ["0"], "models.m.regime.train: --beta 0.0: input should be greater than 0"),
        ("models.m.regime.train", {"beta": 3}, "models.m.regime.train.beta: these trainings have the values of models"),
        ("models.m.regime.train", {"stepz": 3}, "models.m.regime.train.stepz: ddecli train has no option --stepz; did"),
        ("models.m.regime.steps", 9, "models.m.regime.steps is no known key; did you mean seeds?"),
        ("models.m.second-guidance", {"guidance-scale": 0}, "second-guidance.guidance-scale: 0 is less than or equal"),
        ("models.m.second-guidance", {"seeds": 1}, "models.m.second-guidance has no 'guidance-scale', which it needs."),
        ("models.m.second-guidance", {"guidance": 3}, "second-guidance.guidance is no known key; did you mean guid"),
        ("models.m.first-seed", 1, "models.m.first-seed: of the seeds of trainings that are reported, the grid chose"),
        ("models.m.source", "tiney", "models.m.source: Unknown model 'tiney'"),
        ("models.m.choices", "nothing.json", "models.m.choices: nothing.json does not exist."),
        # Options, by the rules of the command line.
        ("models.m.train", {"stepz": 3}, ".train.stepz: ddecli train has no option --stepz; did you mean steps"),
        ("models.m.train", {"batch_size": 3}, "has no option --batch_size; did you mean batch-size?"),
        ("models.m.train", {"steps": "many"}, "models.m.train.steps: Invalid value for '--steps'"),
        ("models.m.train", {"steps": 0}, "models.m.train: --steps 0: input should be greater than"),
        ("models.m.train", {"steps": [3, 4]}, "models.m.train.steps: --steps is given once, not as a list."),
        ("models.m.train", {"steps": True}, "models.m.train.steps: Option '--steps' requires an argument."),
        ("models.m.train", {"compile": 3}, "models.m.train.compile: Got unexpected extra argument(s) (3)."),
        ("models.m.train", {"seed": 3}, "models.m.train.seed: the workflow itself decides about --seed"),
        ("models.m.train", {"optimizer": "adam"}, "models.m.train: --optimizer 'adam': input should be 'adamw'"),
        ("models.m.train", {"config": "mine.yaml"}, "models.m.train: mine.yaml does not exist."),
        ("models.m.methods.dde.train", {"beta": -3}, "models.m.methods.dde.train: --beta -3.0: input should"),
        ("models.m.methods.dde.train", {"segment": "1-0"}, "models.m.methods.dde.train: The segment '1-0'"),
        ("models.m.grid.lr", ["0"], "grid.train: --lr 0.0: input should be greater than 0"),
        ("models.m.grid.beta", ["0"], "grid.train: --beta 0.0: input should be greater than 0"),
        ("models.m.grid.losses", {"dpo": {"beta": ["5"]}}, "models.m.grid.losses: no method has the loss 'dpo'"),
        ("models.m.grid.losses", {"dde": {"betas": ["5"]}}, "grid.losses.dde.betas is no known key; did you mean"),
        ("models.m.grid.losses", {"dde": {"beta": ["0"]}}, "grid.train: --beta 0.0: input should be greater than 0"),
        ("grid.train", {"warmupp": 3}, "train.warmupp: ddecli train has no option --warmupp; did you mean warmup"),
        ("grid.sample", {"prompts": "p.txt"}, "grid.sample.prompts: Prompt file p.txt does not exist."),
        ("models.m.prepare", {"data": "my-pairs"}, "models.m.prepare.data: my-pairs does not exist."),
        ("models.m.prepare", {"holdout": 0.9}, "models.m.prepare.holdout: Invalid value for '--holdout'"),
        ("models.m.prepare", {"columns": "prompt"}, "models.m.prepare.columns: --columns prompt: write it"),
        ("models.m.prepare", {"exclude-prompts": "p.txt"}, "models.m.prepare.exclude-prompts: Prompt file p.txt"),
        ("models.m.sample", {"prompts": "world:tset"}, "models.m.sample.prompts: The world has no prompts 'tset'"),
        ("models.m.sample", {"prompts": "hpsv2=copy"}, "models.m.sample.prompts: copy does not exist"),
        ("models.m.sample", {"spacing": "linspace"}, "models.m.sample.spacing: Invalid value for '--spacing'"),
        ("models.m.sample", {"steps": 0}, "models.m.sample.steps: Invalid value for '--steps'"),
        ("models.m.classes", {"guidance": 2}, "has no option --guidance; did you mean guidance-scale?"),
        ("models.m.score", {"metric": ["clip", "hsp"]}, "models.m.score.metric: There is no metric 'hsp'"),
        ("models.m.score", {"metric": ["clip", "imagereward"]}, "models.m.score.metric: The tiny world has no image"),
        ("models.m.score", {"metric": "clip", "scorer": "clip=w"}, "models.m.score.scorer: w, the scorer of clip"),
        ("models.m.score", {"metric": "clip", "scorer": "w"}, "models.m.score.scorer: --scorer w must be METRIC="),
        ("models.m.inception", {"classifier": "tinny"}, "models.m.inception.classifier: tinny is neither a folder"),
        ("models.m.inception", {"splits": 0}, "models.m.inception.splits: Invalid value for '--splits'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_key(key: str, value: Any, said: str) -> None:
    assert said in refusal(changed(key, value))


def test_a_grid_that_is_asked_for_must_be_there() -> None:
    config = changed("models.m.grid", None)
    for choices in ("grid", "results/grid/m.json"):
        config["models"]["m"]["choices"] = choices
        assert f"models.m.choices: {choices} needs a grid" in refusal(config)


def test_a_record_must_have_a_choice_for_every_loss(tmp_path: Path) -> None:
    config = changed("models.m.choices", "record.json")
    (tmp_path / "record.json").write_text(json.dumps({"chosen": {"uniform": {"beta": 5.0, "lr": 1e-5}}}))
    assert "record.json has no choice for the loss 'dde' of dde; there is uniform." in refusal(config)
    (tmp_path / "record.json").write_text("{}")
    assert "record.json is no record of ddecli choose" in refusal(config)


def test_a_file_of_settings_and_chosen_settings_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("gamma: 0.8\n")
    check_experiment(changed("models.m.train", {"config": "mine.yaml"}), ["own.yaml"])
    (tmp_path / "mine.yaml").write_text("gama: 0.8\n")
    assert "models.m.train: mine.yaml has an unknown setting 'gama'" in refusal(
        changed("models.m.train", {"config": "mine.yaml"})
    )
    config = changed("models.m.train", {"config": "mine.yaml"})
    config["models"]["m"]["choices"] = "grid"
    assert "models.m.train.config: beta and learning rate come from `choices`" in refusal(config)


def test_a_real_model_needs_data_and_prompts(tmp_path: Path) -> None:
    tiny_models.sd_pipeline().save_pretrained(tmp_path / "model")
    config = changed("models.m.source", "model")
    assert "models.m.prepare.data: Give --data for --model model" in refusal(config)
    (tmp_path / "pairs").mkdir()
    config["models"]["m"]["prepare"] = {"data": "pairs"}
    config["models"]["m"]["sample"] = {}
    assert "models.m.sample: model needs prompts" in refusal(config)


@pytest.mark.parametrize("command", SET_BY_RULES)
def test_options_that_the_rules_give_cannot_be_given_twice(command: str) -> None:
    """What the rules' shell lines name is refused in the configuration."""
    rules = "\n".join(path.read_text() for path in (WORKFLOW / "rules").glob("*.smk"))
    line = rules[rules.index(f"ddecli {command} ") :].split('"\n')[0]
    given = {word.removeprefix("--") for word in line.split() if word.startswith("--")} - {"workers"}
    for option in given:
        with pytest.raises(UserError, match=f"x.{option}: the workflow itself decides about --{option}"):
            check_options(command, {option: "y"}, "x")


@pytest.mark.parametrize(
    ("first", "grid", "said"),
    [
        (1, 2, "the grid chose settings by 1; write `first-seed: 2`"),
        (10, 12, "by 10, 11; write `first-seed: 12`"),
    ],
)
def test_reported_trainings_have_other_seeds_than_the_grid(first: int, grid: int, said: str) -> None:
    config = changed("models.m.first-seed", first)
    config["models"]["m"]["grid"]["seeds"] = grid
    assert said in refusal(config)
    config["models"]["m"]["first-seed"] = grid
    check_experiment(config, ["own.yaml"])


def test_reported_trainings_have_other_seeds_than_a_record(tmp_path: Path) -> None:
    rows = [{"loss": "dde", "seeds": [0, 1, 11]}, {"loss": "uniform", "seeds": [0]}]
    chosen = {loss: {"lr": 1e-5, "beta": 5.0} for loss in ("dde", "uniform")}
    (tmp_path / "record.json").write_text(json.dumps({"chosen": chosen, "rows": rows}))
    config = changed("models.m.choices", "record.json")
    assert refusal(config) == (
        "models.m.first-seed: of the seeds of trainings that are reported, record.json chose settings by 11; write "
        "`first-seed: 12` or more."
    )
    config["models"]["m"]["methods"]["dde"]["seeds"] = config["models"]["m"]["regime"]["seeds"] = (
        1  # 10 alone
    )
    check_experiment(config, ["own.yaml"])


def test_reported_seeds_begin_where_the_configuration_says() -> None:
    runs = all_runs(CONFIG)["m"]
    assert (list(runs["dde"].seeds), list(runs["uniform"].seeds)) == ([10, 11], [10])
    assert list(runs["grid/dde-lr1e-05-beta5"].seeds) == [0, 1]
    other = all_runs(changed("models.m.first-seed", 30))["m"]
    assert (list(other["dde"].seeds), list(other["uniform-0-0.1"].seeds)) == ([30, 31], [30])
    schema = yaml.safe_load(SCHEMA.read_text())
    assert schema["$defs"]["model"]["properties"]["first-seed"]["default"] == FIRST_SEED == 10


def test_a_loss_may_have_values_of_its_own_in_a_grid() -> None:
    config = changed("models.m.grid.losses", {"dde": {"beta": ["1", "2"]}, "uniform": {"lr": ["1e-04"]}})
    check_experiment(config, ["own.yaml"])
    assert list(grid_runs(config, "m")) == [
        "grid/uniform-lr1e-04-beta5",
        "grid/dde-lr1e-05-beta1",
        "grid/dde-lr1e-05-beta2",
    ]


def test_trainings_until_logits_saturate_are_of_every_loss_at_every_beta() -> None:
    runs = regime_runs(CONFIG, "m")
    assert list(runs) == [
        f"regime/{loss}-beta{beta}" for loss in ("uniform", "dde") for beta in ("20", "320")
    ]
    one = runs["regime/dde-beta320"]
    assert (one.loss, one.options, one.label) == ("dde", {"steps": 9, "beta": "320"}, "DDE beta 320")
    assert list(one.seeds) == [10, 11]
    assert regime_runs(changed("models.m.regime", None), "m") == {}


def test_a_second_guidance_scale_is_another_one() -> None:
    config = changed("models.m.sample", {"prompts": "world:test", "guidance-scale": 3, "num-prompts": 50})
    config["models"]["m"]["second-guidance"] = {"guidance-scale": 3.0, "images-per-prompt": 1, "seeds": 1}
    assert "models.m.second-guidance.guidance-scale: 3 is that of `sample` already; give another" in refusal(
        config
    )
    config["models"]["m"]["second-guidance"]["guidance-scale"] = 5
    check_experiment(config, ["own.yaml"])
    assert second_sample(config["models"]["m"]) == {
        "prompts": "world:test", "guidance-scale": 5, "num-prompts": 50, "images-per-prompt": 1,
    }  # fmt: skip


def test_seeds_of_the_regime_are_not_those_of_the_grid() -> None:
    config = changed("models.m.grid.seeds", 12)
    config["models"]["m"]["methods"] = {"dde": {"label": "DDE", "loss": "dde", "seeds": 1, "train": {}}}
    config["tables"] = {}
    del config["models"]["m"]["segments"]
    assert "the grid chose settings by 10, 11; write `first-seed: 12`" in refusal(config)


def test_options_are_words() -> None:
    assert words_of({"steps": 80, "compile": True, "metric": ["clip", "hps"]}) == [
        "--steps", "80", "--compile", "--metric", "clip", "--metric", "hps",
    ]  # fmt: skip


def test_every_configuration_of_the_project_has_its_runs() -> None:
    config = yaml.safe_load((WORKFLOW / "config" / "tiny.yaml").read_text())
    runs = all_runs(config)
    assert sum(len(run.seeds) for name, run in runs["tiny"].items() if name.startswith("grid/")) == 3 * (
        5 * 5 * 3 + 3
    )
    assert runs["tiny"]["uniform-0-0.1"].options == {"segment": "0-0.1"}
    trainings = {name: len(run.seeds) for name, run in runs["tiny"].items() if not name.startswith("grid/")}
    assert {trainings[name] for name in config["tables"][2]["methods"]} == {6}
    regime = sum(
        trainings.pop(name) * run.options["steps"] for name, run in runs["tiny"].items() if "regime/" in name
    )
    assert regime == 3 * 3 * 3 * 150
    elsewhere = {count for name, count in trainings.items() if name not in config["tables"][2]["methods"]}
    assert (
        elsewhere == {len(run.seeds) for name, run in runs["tiny-xl"].items() if "grid/" not in name} == {6}
    )
