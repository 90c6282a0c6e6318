# Beta and learning rate of every loss, from one grid, by validation prompts.


rule choices:
    input:
        PLAN.record_of,
    output:
        "<results>/choices/{model}/{loss}.yaml",
    log:
        "<logs>/choices/{model}/{loss}.log",
    localrule: True
    script:
        "../scripts/choices.py"


rule choose:
    input:
        PLAN.grid_scores,
    output:
        "<results>/grid/{model}.json",
    log:
        "<logs>/choose/{model}.log",
    localrule: True
    params:
        folders=PLAN.grid_folders,
        judges=PLAN.judges,
        version=VERSION,
    shell:
        "logged {log} ddecli choose {params.folders} {params.judges} --out {output}"


rule grid:
    input:
        collect(
            "<results>/grid/{model}.json",
            model=PLAN.with_grid(),
        ),
