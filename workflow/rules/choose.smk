# Beta and learning rate of every loss, from one grid, by validation prompts.


def record_of(wildcards):
    """The record that a model's choices are taken from: one that is kept, or the grid that is run here."""
    given = MODELS[wildcards.model]["choices"]
    return f"<results>/grid/{wildcards.model}.json" if given == "grid" else given


def grid_scores(wildcards):
    return scores(wildcards.model, ["base", *grid_runs(wildcards.model)], "validation")


def grid_folders(wildcards):
    return images(wildcards.model, ["base", *grid_runs(wildcards.model)], "validation")


rule choices:
    input:
        record_of,
    output:
        "<results>/choices/{model}/{loss}.yaml",
    log:
        "<logs>/choices/{model}/{loss}.log",
    localrule: True
    script:
        "../scripts/choices.py"


rule choose:
    input:
        grid_scores,
    output:
        "<results>/grid/{model}.json",
    log:
        "<logs>/choose/{model}.log",
    params:
        folders=grid_folders,
        version=VERSION,
    shell:
        "ddecli choose {params.folders} --out {output} > {log} 2>&1"


rule grid:
    input:
        collect("<results>/grid/{model}.json", model=[name for name in MODELS if "grid" in MODELS[name]]),
