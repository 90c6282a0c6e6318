# Runs, and base models, to images: any number of jobs share the images of one model.


scattergather:
    sample=config["shards"],


FOLDER = "<results>/images/{model}/{trained}/{split}"


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


rule sample:
    input:
        sampled_from,
    output:
        touch(f"{FOLDER}/.shards/{{scatteritem}}.done"),
    log:
        "<logs>/sample/{model}/{trained}/{split}/{scatteritem}.log",
    benchmark:
        "<benchmarks>/sample/{model}/{trained}/{split}/{scatteritem}.tsv"
    params:
        model=model_argument,
        folder=subpath(output[0], ancestor=2),
        options=sample_options,
        shard=shard,
        version=VERSION,
    threads: 1
    resources:
        gpu=config["gpus"],
        mem_mb=16000,
        runtime="12h",
    shell:
        "bash {workflow.basedir}/workflow/scripts/on_gpus.sh {resources.gpu}"
        " ddecli sample {params.model} --out {params.folder} --shard {params.shard} --overwrite"
        " {params.options} > {log} 2>&1"


# The last of the jobs that share the images has written their list.
rule images:
    input:
        gather.sample("<results>/images/{{model}}/{{trained}}/{{split}}/.shards/{scatteritem}.done"),
    output:
        touch(f"{FOLDER}/.complete"),
    log:
        "<logs>/images/{model}/{trained}/{split}.log",
    localrule: True
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "test -s {params.folder}/metadata.jsonl 2> {log}"
