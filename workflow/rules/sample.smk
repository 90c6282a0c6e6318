# Runs, and base models, to images: any number of jobs share the images of one model.

SAMPLE = SampleJobs(PLAN)


scattergather:
    sample=config["shards"],


rule sample:
    input:
        run=SAMPLE.run,
        read=SAMPLE.files,
    output:
        touch(f"{FOLDER}/.shards/{{scatteritem}}.done"),
    log:
        "<logs>/sample/{model}/{trained}/{split}/{scatteritem}.log",
    benchmark:
        "<benchmarks>/sample/{model}/{trained}/{split}/{scatteritem}.tsv"
    threads: 1
    resources:
        gpu=config["gpus"]["sample"],
        mem_mb=16000,
        runtime="12h",
    params:
        model=SAMPLE.model,
        folder=subpath(output[0], ancestor=2),
        options=SAMPLE.options,
        speed=SAMPLE.speed,
        read=SAMPLE.content,
        shard=SAMPLE.shard,
        version=VERSION,
    shell:
        "logged {log} on_gpus {resources.gpu}"
        " ddecli sample {params.model} --out {params.folder} --shard {params.shard} --overwrite"
        " {params.options} {params.speed}"


# The last of the jobs that share the images has written their list.


rule images:
    input:
        gather.sample("<results>/images/{{model}}/{{trained}}/{{split}}/.shards/{scatteritem}.done"),
    output:
        touch(f"{FOLDER}/.complete"),
    log:
        "<logs>/images/{model}/{trained}/{split}.log",
    localrule: True
    params:
        folder=subpath(output[0], parent=True),
    shell:
        "test -s {params.folder}/metadata.jsonl ||"
        " {{ echo 'The jobs that share {params.folder} left no list of images there: run them again"
        " (--forcerun sample).' > {log}; exit 1; }}"
