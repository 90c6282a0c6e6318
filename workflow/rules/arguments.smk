# Functions that the rules call: which files a job reads, and the options of its command.

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


def train_options(wildcards):
    run = RUNS[wildcards.model][wildcards.run]
    return flags(
        {"model": MODELS[wildcards.model]["source"], "loss": run.loss}
        | MODELS[wildcards.model]["train"]
        | run.options
    )


def config_option(wildcards, input):
    return f"--config {input.choice}" if input.choice else ""


def source(wildcards):
    return MODELS[wildcards.model]["source"]


def prepare_options(wildcards):
    return flags(MODELS[wildcards.model]["prepare"])


def sampled_from(wildcards):
    """The finished training that images are made with; a base model needs none."""
    if wildcards.trained == "base":
        return []
    return [f"<results>/runs/{wildcards.model}/{wildcards.trained}/perf.json"]


def model_argument(wildcards, input):
    return str(Path(input[0]).parent) if input else MODELS[wildcards.model]["source"]


def sample_options(wildcards):
    if wildcards.split == "validation":
        return flags(config["grid"]["sample"])
    return flags(MODELS[wildcards.model]["classes" if wildcards.split == "classes" else "sample"])


def shard(wildcards):
    """Snakemake's 1-of-4 is ddecli's 1/4."""
    return wildcards.scatteritem.replace("-of-", "/")


def score_options(wildcards):
    return flags(MODELS[wildcards.model]["score"])


def inception_options(wildcards):
    return flags(MODELS[wildcards.model]["inception"])


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
