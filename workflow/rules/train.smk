# Pairs to runs. Checkpoints, run.yaml and metrics.jsonl lie outside the declared outputs, which Snakemake deletes when a job
# fails: one that is tried again goes on from them. They are whole when perf.json is there.

PREPARE, TRAIN = Jobs(PLAN, "prepare"), TrainJobs(PLAN)


rule prepare:
    input:
        PREPARE.files,
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
        model=PREPARE.source,
        options=PREPARE.options,
        speed=PREPARE.speed,
        read=PREPARE.content,
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli prepare --model {params.model} --out {output} --overwrite --workers {threads}"
        " {params.options} {params.speed}"


rule train:
    input:
        pairs="<results>/pairs/{model}",
        choice=TRAIN.choice,
        read=TRAIN.files,
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
        options=TRAIN.options,
        speed=TRAIN.speed,
        config=TRAIN.config,
        read=TRAIN.content,
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli train --data {input.pairs} --out {params.folder} --seed {wildcards.seed} --overwrite"
        " {params.config} {params.options} {params.speed}"
