# What the other files share: which runs there are, with which options, and which files they leave.
import shlex

import ddecli

MODELS = config["models"]
VERSION = ddecli.__version__
# <results> and <paper> stand for these in inputs and outputs; in parameters they do not.
RESULTS, PAPER = config["pathvars"]["results"], config["pathvars"]["paper"]
RUN = "<results>/runs/{model}/{run}/seed-{seed}"


wildcard_constraints:
    model="[^/]+",
    run="[^/]+|grid/[^/]+",
    seed=r"\d+",
    trained=r"base|[^/]+/seed-\d+|grid/[^/]+/seed-\d+",
    split="test|classes|validation",
    loss="[a-z-]+",


def flags(options):
    """Options as a command line: {"steps": 80, "metric": ["clip", "hps"]} is --steps 80 --metric clip --metric hps."""
    words = []
    for name, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if each is True else [f"--{name}", str(each)]
    return shlex.join(words)


def methods(model):
    """Every trained run of a model that is reported, segments included: its loss, options and number of seeds."""
    found = {
        name: {
            "loss": method["loss"],
            "options": method.get("train", {}),
            "seeds": method["seeds"],
        }
        for name, method in MODELS[model]["methods"].items()
    }
    segments = MODELS[model].get("segments")
    if segments:
        for part in segments["ranges"]:
            found[segment_run(model, part)] = {
                "loss": segments["loss"],
                "options": {"segment": part},
                "seeds": segments["seeds"],
            }
    return found


def segment_run(model, part):
    """Name of the run that trains one part of the trajectory."""
    return f"{MODELS[model]['segments']['loss']}-{part}"


def grid_runs(model):
    """The cells of the grid: every loss of the model's methods at every beta (but for SFT) and learning rate."""
    grid, found = MODELS[model].get("grid", {"lr": []}), {}
    for loss in dict.fromkeys(method["loss"] for method in MODELS[model]["methods"].values()):
        for lr in grid["lr"]:
            for beta in [None] if loss == "sft" else grid["beta"]:
                options = config["grid"]["train"] | {"lr": lr} | ({} if beta is None else {"beta": beta})
                name = f"grid/{loss}-lr{lr}" + ("" if beta is None else f"-beta{beta}")
                found[name] = {"loss": loss, "options": options, "seeds": grid.get("seeds", 1)}
    return found


RUNS = {model: methods(model) | grid_runs(model) for model in MODELS}


def seeds(model, run):
    return range(RUNS[model][run]["seeds"])


def trained(model, run):
    """The trainings of a run as they appear in paths."""
    return ["base"] if run == "base" else [f"{run}/seed-{seed}" for seed in seeds(model, run)]


def label(model, run):
    """What tables and figures call a run."""
    if run == "base":
        return model
    method = MODELS[model]["methods"].get(run)
    return method["label"] if method else RUNS[model][run]["options"].get("segment", run)


def images(model, runs, split="test"):
    """Folders of images, one a training, of several runs."""
    return [f"{RESULTS}/images/{model}/{each}/{split}" for run in runs for each in trained(model, run)]


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
