# Pairs to runs. Checkpoints lie outside the declared outputs: a job that is tried again goes on from them.


def choice_of(wildcards):
    """The file with beta and learning rate of a run's loss; none for the grid itself, or where the recipe rules."""
    chosen = MODELS[wildcards.model]["choices"] != "recipe" and not wildcards.run.startswith("grid/")
    loss = RUNS[wildcards.model][wildcards.run]["loss"]
    return [f"<results>/choices/{wildcards.model}/{loss}.yaml"] if chosen else []


def train_options(wildcards):
    run = RUNS[wildcards.model][wildcards.run]
    return flags(
        {"model": MODELS[wildcards.model]["source"], "loss": run["loss"]}
        | MODELS[wildcards.model]["train"]
        | run["options"]
    )


def config_option(wildcards, input):
    return f"--config {input.choice}" if input.choice else ""


def source(wildcards):
    return MODELS[wildcards.model]["source"]


def prepare_options(wildcards):
    return flags(MODELS[wildcards.model]["prepare"])


rule prepare:
    output:
        "<results>/pairs/{model}/manifest.json",
    log:
        "<logs>/prepare/{model}.log",
    benchmark:
        "<benchmarks>/prepare/{model}.tsv"
    params:
        folder=subpath(output[0], parent=True),
        model=source,
        options=prepare_options,
        version=VERSION,
    threads: 1
    resources:
        gpu=config["gpus"],
        mem_mb=16000,
        runtime="2d",
    shell:
        "bash {workflow.basedir}/workflow/scripts/on_gpus.sh {resources.gpu}"
        " ddecli prepare --model {params.model} --out {params.folder} {params.options} > {log} 2>&1"


rule train:
    input:
        pairs="<results>/pairs/{model}/manifest.json",
        choice=choice_of,
    output:
        model=directory(f"{RUN}/model"),
        credit=f"{RUN}/credit.npz",
        perf=f"{RUN}/perf.json",
    log:
        "<logs>/train/{model}/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train/{model}/{run}/seed-{seed}.tsv"
    params:
        pairs=subpath(input.pairs, parent=True),
        folder=subpath(output.perf, parent=True),
        options=train_options,
        config=config_option,
        version=VERSION,
    threads: 1
    resources:
        gpu=config["gpus"],
        mem_mb=24000,
        runtime="2d",
    shell:
        "bash {workflow.basedir}/workflow/scripts/on_gpus.sh {resources.gpu}"
        " ddecli train --data {params.pairs} --out {params.folder} --seed {wildcards.seed} --overwrite"
        " {params.config} {params.options} > {log} 2>&1"
