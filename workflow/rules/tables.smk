# Scores of several runs to tables, each as .md, .csv, .tex and .json: the paper's <paper>/table2, and <paper>/table-MODEL
# with every method of a model and the differences of every two.


rule table:
    input:
        PLAN.table_inputs,
    output:
        report(
            "<paper>/table{number}.md",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{number}"},
        ),
        multiext("<paper>/table{number}", ".csv", ".tex", ".json"),
    log:
        "<logs>/table/{number}.log",
    wildcard_constraints:
        number="[234]",
    localrule: True
    params:
        rows=PLAN.table_rows,
        stem=subpath(output[0], strip_suffix=".md"),
        version=VERSION,
    shell:
        "logged {log} into {params.stem}.json ddecli table {wildcards.number} {params.rows:q} --out {params.stem} --json"


rule side_by_side:
    input:
        PLAN.model_scores,
    output:
        report(
            "<paper>/table-{model}.md",
            caption="../report/side_by_side.rst",
            category="Tables",
            labels={"table": "{model}"},
        ),
        multiext("<paper>/table-{model}", ".csv", ".tex", ".json"),
    log:
        "<logs>/table/{model}.log",
    localrule: True
    params:
        rows=PLAN.model_rows,
        stem=subpath(output[0], strip_suffix=".md"),
        version=VERSION,
    shell:
        "logged {log} into {params.stem}.json ddecli table {params.rows} --out {params.stem} --json"
