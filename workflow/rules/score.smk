# Images to scores.

SCORE, INCEPTION = Jobs(PLAN, "score"), Jobs(PLAN, "inception")


rule score:
    input:
        f"{FOLDER}/.complete",
        SCORE.files,
    output:
        f"{FOLDER}/scores.parquet",
        f"{FOLDER}/scores.json",
    log:
        "<logs>/score/{model}/{trained}/{split}.log",
    benchmark:
        "<benchmarks>/score/{model}/{trained}/{split}.tsv"
    threads: 1
    resources:
        gpu=config["gpus"]["score"],
        mem_mb=16000,
        runtime="4h",
    params:
        folder=subpath(input[0], parent=True),
        options=SCORE.options,
        speed=SCORE.speed,
        read=SCORE.content,
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}" " ddecli score {params.folder} {params.options} {params.speed}"


rule inception:
    input:
        f"{FOLDER}/.complete",
        INCEPTION.files,
    output:
        f"{FOLDER}/inception.json",
    log:
        "<logs>/inception/{model}/{trained}/{split}.log",
    benchmark:
        "<benchmarks>/inception/{model}/{trained}/{split}.tsv"
    threads: 1
    resources:
        gpu=config["gpus"]["score"],
        mem_mb=16000,
        runtime="4h",
    params:
        folder=subpath(input[0], parent=True),
        options=INCEPTION.options,
        speed=INCEPTION.speed,
        read=INCEPTION.content,
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli inception {params.folder} {params.options} {params.speed}"
