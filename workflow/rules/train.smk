# Pairs to runs. Checkpoints, run.yaml and metrics.jsonl lie outside the declared outputs, which Snakemake deletes when a job
# fails: one that is tried again goes on from them. They are whole when perf.json is there.


rule prepare:
    output:
        "<results>/pairs/{model}/manifest.json",
    log:
        "<logs>/prepare/{model}.log",
    benchmark:
        "<benchmarks>/prepare/{model}.tsv"
    threads: 1
    resources:
        gpu=config["gpus"]["prepare"],
        mem_mb=16000,
        runtime="2d",
    params:
        folder=subpath(output[0], parent=True),
        model=source,
        options=prepare_options,
        version=VERSION,
    shell:
        "on_gpus {resources.gpu}"
        " ddecli prepare --model {params.model} --out {params.folder} --workers {threads} {params.options} > {log} 2>&1"


rule train:
    input:
        pairs="<results>/pairs/{model}/manifest.json",
        choice=choice_of,
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
        mem_mb=24000,
        runtime="2d",
    params:
        pairs=subpath(input.pairs, parent=True),
        folder=subpath(output.perf, parent=True),
        options=train_options,
        config=config_option,
        version=VERSION,
    shell:
        "on_gpus {resources.gpu}"
        " ddecli train --data {params.pairs} --out {params.folder} --seed {wildcards.seed} --overwrite"
        " {params.config} {params.options} > {log} 2>&1"
