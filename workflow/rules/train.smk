# Pairs to runs. Checkpoints, run.yaml and metrics.jsonl lie outside the declared outputs, which Snakemake deletes when a job
# fails: one that is tried again goes on from them. They are whole when perf.json is there.


rule prepare:
    input:
        files(prepare_paths),
    output:
        directory("<results>/pairs/{model}"),
    log:
        "<logs>/prepare/{model}.log",
    benchmark:
        "<benchmarks>/prepare/{model}.tsv"
    threads: 1
    resources:
        gpu=config["gpus"]["prepare"],
        nodes=1,  # where all its GPUs are
        mem_mb=16000,
        runtime="2d",
    params:
        model=source,
        options=options_of("prepare", prepare_settings),
        speed=speed_of("prepare", prepare_settings),
        read=contents(prepare_paths),
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli prepare --model {params.model} --out {output} --overwrite --workers {threads}"
        " {params.options} {params.speed}"


rule train:
    input:
        pairs="<results>/pairs/{model}",
        choice=choice_of,
        read=files(train_paths),
    output:
        model=directory(f"{RUN}/model"),
        credit=f"{RUN}/credit.npz",
        perf=f"{RUN}/perf.json",
    log:
        "<logs>/train/{model}/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train/{model}/{run}/seed-{seed}.tsv"
    threads: 1
    resources:
        gpu=config["gpus"]["train"],
        nodes=1,  # where all its GPUs are
        mem_mb=24000,
        runtime="2d",
    params:
        folder=subpath(output.perf, parent=True),
        options=options_of("train", train_settings),
        speed=speed_of("train", train_settings),
        config=config_option,
        read=contents(train_paths),
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli train --data {input.pairs} --out {params.folder} --seed {wildcards.seed} --overwrite"
        " {params.config} {params.options} {params.speed}"
