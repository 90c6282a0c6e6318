# The article: what was measured, claim by claim, and the manifest of how it was made.

DESCRIPTION = ExperimentDescription(PLAN, FIGURES)


rule experiment:
    output:
        "<results>/experiment.yaml",
    log:
        "<logs>/experiment.log",
    localrule: True
    params:
        name=config["name"],
        title=config["title"],
        changes=config["changes"],
        tables=DESCRIPTION.tables,
        models=DESCRIPTION.models,
        figures=DESCRIPTION.figures,
        grid=DESCRIPTION.grid,
    script:
        "../scripts/experiment.py"


rule report:
    input:
        DESCRIPTION.inputs,
        PLAN.table_files(),
        FIGURES.files(),
        experiment="<results>/experiment.yaml",
    output:
        report(
            "<paper>/reproduction.html",
            category="Article",
            labels={"page": "claim by claim"},
        ),
        multiext("<paper>/reproduction", ".md", ".pdf"),
        "<paper>/claims.json",
    log:
        "<logs>/report.log",
    localrule: True
    params:
        folder=subpath(output[0], parent=True),
        version=VERSION,
    shell:
        "logged {log} ddecli report {input.experiment} --out {params.folder}"


rule manifest:
    input:
        "<paper>/claims.json",
    output:
        "<paper>/manifest.json",
    log:
        "<logs>/manifest.log",
    localrule: True
    params:
        benchmarks=config["pathvars"]["benchmarks"],
        config=config,
        version=VERSION,
    script:
        "../scripts/manifest.py"
