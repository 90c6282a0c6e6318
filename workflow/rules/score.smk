# Images to scores.


rule score:
    input:
        f"{FOLDER}/.complete",
        files(score_paths),
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
        options=options_of("score", score_settings),
        speed=speed_of("score", score_settings),
        read=contents(score_paths),
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}" " ddecli score {params.folder} {params.options} {params.speed}"


rule inception:
    input:
        f"{FOLDER}/.complete",
        files(inception_paths),
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
        options=options_of("inception", inception_settings),
        speed=speed_of("inception", inception_settings),
        read=contents(inception_paths),
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli inception {params.folder} {params.options} {params.speed}"
