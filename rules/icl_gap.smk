# Phase 0: what demonstrations in the prompt are worth to each candidate model.


rule icl_gap:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        test="<data>/test.jsonl",
    output:
        "<gap>/predictions.parquet",
    log:
        "<logs>/icl_gap/{phase}/{model}.log",
    benchmark:
        "<benchmarks>/icl_gap/{phase}/{model}.tsv"
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        icl_gap=program("generate.py", "icl_gap", state=STATE, server=SERVER),
        gpu=gpus("icl_gap"),
    params:
        spec=spec_of(STUDY.icl_gap),
        code=code_of("generate.py", *ENGINES),
    message:
        "Phase 0 '{wildcards.phase}': {wildcards.model} with more and fewer demonstrations"
    shell:
        "{resources.icl_gap} --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --test {input.test:q} --output {output:q} 2>&1 | tee {log:q}"


rule summarise_icl_gap:
    input:
        accuracy=lambda wildcards: candidates(wildcards.phase, "<results>/icl_gap/{phase}/{model}/accuracy.csv"),
        manifests=lambda wildcards: candidates(wildcards.phase, "<results>/models/{model}/manifest.json"),
    output:
        "<results>/icl_gap/{phase}.json",
    log:
        "<logs>/summarise_icl_gap/{phase}.log",
    benchmark:
        "<benchmarks>/summarise_icl_gap/{phase}.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        summarise_icl_gap=program("summarise_icl_gap.py"),
    params:
        spec=spec_of(STUDY.icl_gap_summary),
        code=code_of("summarise_icl_gap.py"),
    message:
        "Phase 0 '{wildcards.phase}': which model to use"
    shell:
        "{resources.summarise_icl_gap} --spec {params.spec:q} --accuracy {input.accuracy:q}"
        " --manifests {input.manifests:q} --output {output:q} 2>&1 | tee {log:q}"
