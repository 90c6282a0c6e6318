# The paper's tables: scores of several runs to <paper>/table2.md, .csv, .tex and .json.

TABLES = collect("<paper>/table{number}.{suffix}", number=config["tables"], suffix=["md", "csv", "tex", "json"])
MEASURED = {2: "scores.parquet", 3: "scores.parquet", 4: "inception.json"}


def compared(number):
    """(model, run) of every row of a table, the base first."""
    table = config["tables"][number]
    if number == 4:
        return [(model, run) for model, method in table.items() for run in ("base", method)]
    return [(table["model"], run) for run in ["base", *table["methods"]]]


def table_folders(number):
    split = "classes" if number == 4 else "test"
    return [folder for model, run in compared(number) for folder in images(model, [run], split)]


def table_scores(wildcards):
    number = int(wildcards.number)
    return [f"{folder}/{MEASURED[number]}" for folder in table_folders(number)]


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
    params:
        rows=table_rows,
        stem=subpath(output[0], strip_suffix=".md"),
        version=VERSION,
    wildcard_constraints:
        number="[234]",
    shell:
        "ddecli table {wildcards.number} {params.rows:q} --out {params.stem} --json"
        " > {params.stem}.json 2> {log}"
