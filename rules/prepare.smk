# Models and data; the only rules that use the network.


localrules:
    fetch_model,
    fetch_dataset,


rule fetch_model:
    message:
        "Fetching model {wildcards.model}"
    input:
        lambda wildcards: local_files(STUDY.config.models[wildcards.model].source),
    output:
        "<weights>/manifest.json",
    params:
        spec=spec_of(STUDY.fetch_model),
        code=code_digest("fetch_model.py"),
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    log:
        "<logs>/fetch_model/{model}.log",
    benchmark:
        "<benchmarks>/fetch_model/{model}.tsv"
    conda:
        "../envs/study.yaml"
    shell:
        "python {SCRIPTS:q}/fetch_model.py --spec {params.spec:q} --layers {MATCHED_LAYERS:q}"
        " --state {STATE:q} --output {params.folder:q} 2>&1 | tee {log:q}"


rule fetch_dataset:
    message:
        "Fetching dataset {wildcards.dataset}"
    input:
        local_files(STUDY.dataset.source),
    output:
        train="<results>/data/{dataset}/train.jsonl",
        test="<results>/data/{dataset}/test.jsonl",
        meta="<results>/data/{dataset}/meta.json",
    params:
        spec=spec_of(STUDY.fetch_dataset),
        code=code_digest("fetch_dataset.py"),
    log:
        "<logs>/fetch_dataset/{dataset}.log",
    benchmark:
        "<benchmarks>/fetch_dataset/{dataset}.tsv"
    conda:
        "../envs/study.yaml"
    shell:
        "python {SCRIPTS:q}/fetch_dataset.py --spec {params.spec:q}"
        " --train {output.train:q} --test {output.test:q} --meta {output.meta:q} 2>&1 | tee {log:q}"
