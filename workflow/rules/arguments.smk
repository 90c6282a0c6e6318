# Functions that the rules call: which files a job reads, and the options of its command.
from ddecli.workflow.inputs import ENCODERS, content, files_of, model_paths, read_paths
from ddecli.workflow.options import NotRecorded, split_rounding
from ddecli.workflow.runs import second_sample

FOLDER = "<results>/images/{model}/{trained}/{split}"
TABLES = collect(
    "<paper>/table{number}.{suffix}",
    number=config["tables"],
    suffix=["md", "csv", "tex", "json"],
) + collect(
    "<paper>/table-{model}.{suffix}",
    model=MODELS,
    suffix=["md", "csv", "tex", "json"],
)
MEASURED = {2: "scores.parquet", 3: "scores.parquet", 4: "inception.json"}


def choice_of(wildcards):
    """The file with beta and learning rate of a run's loss; none for the grid itself, or where the recipe rules."""
    chosen = MODELS[wildcards.model]["choices"] != "recipe" and not wildcards.run.startswith("grid/")
    loss = RUNS[wildcards.model][wildcards.run].loss
    return [f"<results>/choices/{wildcards.model}/{loss}.yaml"] if chosen else []


def options_of(command, settings):
    """The options of a job that decide what it makes; `settings` gives all of them."""

    def found(wildcards):
        return flags(split_rounding(command, settings(wildcards))[0])

    return found


def speed_of(command, settings):
    """The others, of speed, memory and rounding: a job is not done again for them."""

    def found(wildcards):
        return NotRecorded(flags(split_rounding(command, settings(wildcards))[1]))

    return found


def files(paths):
    """The files among the paths that a job reads, as its input."""

    def found(wildcards):
        return files_of(paths(wildcards))

    return found


def contents(paths):
    """What tells that something changed at these paths: Snakemake does not look into folders."""

    def found(wildcards):
        return content(paths(wildcards))

    return found


def prepare_settings(wildcards):
    return MODELS[wildcards.model]["prepare"]


def prepare_paths(wildcards):
    data = read_paths("prepare", prepare_settings(wildcards), RESULTS)
    return model_paths(source(wildcards), ENCODERS) + data


def train_settings(wildcards):
    run = RUNS[wildcards.model][wildcards.run]
    of_all = MODELS[wildcards.model]["train"]
    return {"model": MODELS[wildcards.model]["source"], "loss": run.loss} | of_all | run.options


def train_paths(wildcards):
    return model_paths(source(wildcards)) + read_paths("train", train_settings(wildcards), RESULTS)


def config_option(wildcards, input):
    return f"--config {input.choice}" if input.choice else ""


def source(wildcards):
    return MODELS[wildcards.model]["source"]


def sampled_from(wildcards):
    """The finished training that images are made with; a base model needs none."""
    if wildcards.trained == "base":
        return []
    return [f"<results>/runs/{wildcards.model}/{wildcards.trained}/perf.json"]


def model_argument(wildcards, input):
    return str(Path(input.run[0]).parent) if input.run else MODELS[wildcards.model]["source"]


def sample_settings(wildcards):
    if wildcards.split == "validation":
        return config["grid"]["sample"]
    if wildcards.split == "second-guidance":
        return second_sample(MODELS[wildcards.model])
    return MODELS[wildcards.model]["classes" if wildcards.split == "classes" else "sample"]


def sample_paths(wildcards):
    """The prompts, and of base models the model: that of a run was read by its training."""
    prompts = read_paths("sample", sample_settings(wildcards), RESULTS)
    return model_paths(source(wildcards)) + prompts if wildcards.trained == "base" else prompts


def shard(wildcards):
    """Snakemake's 1-of-4 is ddecli's 1/4."""
    return wildcards.scatteritem.replace("-of-", "/")


def score_settings(wildcards):
    return MODELS[wildcards.model]["score"]


def score_paths(wildcards):
    return read_paths("score", score_settings(wildcards), RESULTS)


def inception_settings(wildcards):
    return MODELS[wildcards.model]["inception"]


def inception_paths(wildcards):
    return read_paths("inception", inception_settings(wildcards), RESULTS)


def record_of(wildcards):
    """The record that a model's choices are taken from: one that is kept, or the grid that is run here."""
    given = MODELS[wildcards.model]["choices"]
    return f"<results>/grid/{wildcards.model}.json" if given == "grid" else given


def grid_scores(wildcards):
    return scores(wildcards.model, ["base", *grid_runs(config, wildcards.model)], "validation")


def judges(wildcards):
    return flags({"metric": config["grid"]["judges"]})


def grid_folders(wildcards):
    return images(wildcards.model, ["base", *grid_runs(config, wildcards.model)], "validation")


def compared(number):
    """(model, run) of every row of a table, the base first."""
    table = config["tables"][number]
    if number == 4:
        return [(model, run) for model, method in table.items() for run in ("base", method)]
    return [(table["model"], run) for run in ["base", *table["methods"]]]


def table_folders(number):
    split = "classes" if number == 4 else "test"
    return [folder for model, run in compared(number) for folder in images(model, [run], split)]


def measured(number):
    """What a table is made from."""
    return [f"{folder}/{MEASURED[number]}" for folder in table_folders(number)]


def table_scores(wildcards):
    return measured(int(wildcards.number))


def model_scores(wildcards):
    return scores(wildcards.model, ["base", *REPORTED[wildcards.model]])


def model_rows(wildcards):
    """LABEL=FOLDER arguments: the base and every method of a model."""
    runs = ["base", *REPORTED[wildcards.model]]
    return rows(wildcards.model, runs, images(wildcards.model, runs))


def table_rows(wildcards):
    """LABEL=FOLDER arguments; in table 4 a trained row is MODEL+METHOD."""
    number, found = int(wildcards.number), []
    for model, run in compared(number):
        name = label(model, run)
        if number == 4 and run != "base":
            name = f"{model}+{name}"
        split = "classes" if number == 4 else "test"
        found += [f"{name}={folder}" for folder in images(model, [run], split)]
    return found
