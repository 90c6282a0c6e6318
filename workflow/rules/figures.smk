# The paper's figures, and those that its argument rests on: <paper>/figures/NAME.png, .pdf and .json.


rule figure:
    input:
        FIGURES.inputs,
    output:
        report(
            "<paper>/figures/{name}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
        multiext("<paper>/figures/{name}", ".pdf", ".json"),
    log:
        "<logs>/figure/{name}.log",
    wildcard_constraints:
        name="[^/]+",
    localrule: True
    params:
        kind=FIGURES.kind,
        rows=FIGURES.rows,
        options=FIGURES.options,
        read=FIGURES.content,
        stem=subpath(output[0], strip_suffix=".png"),
        version=VERSION,
    shell:
        "logged {log} ddecli figure {params.kind} {params.rows} --out {params.stem} {params.options}"
