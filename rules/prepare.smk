# Models and data; the only rules that use the network.


rule fetch_model:
    input:
        lambda wildcards: local_files(STUDY.config.models[wildcards.model].source),
    output:
        "<weights>/manifest.json",
    log:
        "<logs>/fetch_model/{model}.log",
    benchmark:
        "<benchmarks>/fetch_model/{model}.tsv"
    localrule: True
    conda:
        "../envs/study.yaml"
    params:
        **job("fetch_model.py", STUDY.fetch_model, machine="fetch_model"),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "Fetching model {wildcards.model}"
    shell:
        "python {params.scripts:q}/fetch_model.py --machine {params.machine:q} --spec {params.spec:q}"
        " --files {input:q} --output {params.folder:q} 2>&1 | tee {log:q}"


rule fetch_dataset:
    input:
        local_files(STUDY.dataset.source),
    output:
        train="<results>/data/{dataset}/train.jsonl",
        test="<results>/data/{dataset}/test.jsonl",
        validation="<results>/data/{dataset}/validation.jsonl",
        meta="<results>/data/{dataset}/meta.json",
    log:
        "<logs>/fetch_dataset/{dataset}.log",
    benchmark:
        "<benchmarks>/fetch_dataset/{dataset}.tsv"
    localrule: True
    conda:
        "../envs/study.yaml"
    params:
        **job("fetch_dataset.py", STUDY.fetch_dataset, *STUDY.dataset_modules),
    message:
        "Fetching dataset {wildcards.dataset}"
    shell:
        "python {params.scripts:q}/fetch_dataset.py --spec {params.spec:q}"
        " --train {output.train:q} --test {output.test:q} --meta {output.meta:q} 2>&1 | tee {log:q}"
