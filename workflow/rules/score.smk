# Images to scores.


rule score:
    input:
        f"{FOLDER}/.complete",
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
        options=score_options,
        version=VERSION,
    shell:
        "on_gpus {resources.gpu}" " ddecli score {params.folder} {params.options} > {log} 2>&1"


rule inception:
    input:
        f"{FOLDER}/.complete",
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
        options=inception_options,
        version=VERSION,
    shell:
        "on_gpus {resources.gpu}" " ddecli inception {params.folder} {params.options} > {log} 2>&1"
