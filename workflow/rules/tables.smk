# The paper's tables: scores of several runs to <paper>/table2.md, .csv, .tex and .json.


rule table:
    input:
        table_scores,
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
    params:
        rows=table_rows,
        stem=subpath(output[0], strip_suffix=".md"),
        version=VERSION,
    shell:
        "ddecli table {wildcards.number} {params.rows:q} --out {params.stem} --json"
        " > {params.stem}.json 2> {log}"
