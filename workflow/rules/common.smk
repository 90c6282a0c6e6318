# What the other files share: which runs there are, with which options, and which files they leave.
import shlex

import ddecli
from ddecli.workflow.options import words_of
from ddecli.workflow.runs import all_runs, grid_runs, methods, regime_runs, segment_run

MODELS = config["models"]
VERSION = ddecli.__version__
# <results> and <paper> stand for these in inputs and outputs; in parameters they do not.
RESULTS, PAPER = config["pathvars"]["results"], config["pathvars"]["paper"]
RUN = "<results>/runs/{model}/{run}/seed-{seed}"


wildcard_constraints:
    model="[^/]+",
    run="[^/]+|(grid|regime)/[^/]+",
    seed=r"\d+",
    trained=r"base|[^/]+/seed-\d+|grid/[^/]+/seed-\d+",
    split="test|classes|validation|second-guidance",
    loss="[a-z-]+",


def flags(options):
    """Options as a command line."""
    return shlex.join(words_of(options))


RUNS = all_runs(config)


def seeds(model, run):
    return RUNS[model][run].seeds


def trained(model, run):
    """The trainings of a run as they appear in paths."""
    return ["base"] if run == "base" else [f"{run}/seed-{seed}" for seed in seeds(model, run)]


def label(model, run):
    """What tables and figures call a run."""
    if run == "base":
        return model
    method = MODELS[model]["methods"].get(run)
    return method["label"] if method else RUNS[model][run].label


def images(model, runs, split="test"):
    """Folders of images, one a training, of several runs."""
    return [f"{RESULTS}/images/{model}/{each}/{split}" for run in runs for each in trained(model, run)]


def second_images(model, run):
    """The same at the second guidance scale, of the first trainings."""
    return images(model, [run], "second-guidance")[: MODELS[model]["second-guidance"]["seeds"]]


def scores(model, runs, split="test"):
    return [f"{folder}/scores.parquet" for folder in images(model, runs, split)]


def run_folders(model, runs):
    return [f"{RESULTS}/runs/{model}/{each}" for run in runs for each in trained(model, run)]


def credits(model, runs):
    return [f"{folder}/credit.npz" for folder in run_folders(model, runs)]


def rows(model, runs, paths):
    """LABEL=PATH arguments, one a training, for tables and figures."""
    names = [label(model, run) for run in runs for _ in trained(model, run)]
    return shlex.join(f"{name}={path}" for name, path in zip(names, paths, strict=True))
