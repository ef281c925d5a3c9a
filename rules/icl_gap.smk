# Phase 0: what demonstrations in the prompt are worth to each candidate model.


def candidates(phase, pattern):
    """A file of each candidate model of a phase 0 comparison."""
    return expand(pattern, phase=phase, model=STUDY.config.icl_gap[phase].models)


rule icl_gap:
    message:
        "Phase 0 '{wildcards.phase}': {wildcards.model} with more and fewer demonstrations"
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        test="<data>/test.jsonl",
    output:
        "<gap>/predictions.parquet",
    params:
        spec=spec_of(STUDY.icl_gap),
        code=code_digest("generate.py"),
    log:
        "<logs>/icl_gap/{phase}/{model}.log",
    benchmark:
        "<benchmarks>/icl_gap/{phase}/{model}.tsv"
    threads: HEAVY_THREADS
    resources:
        gpu=gpus("evaluate"),
    conda:
        "../envs/study.yaml"
    shell:
        "python {SCRIPTS:q}/generate.py --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --test {input.test:q} --state {STATE:q} --output {output:q} 2>&1 | tee {log:q}"


rule summarise_icl_gap:
    message:
        "Phase 0 '{wildcards.phase}': which model to use"
    input:
        accuracy=lambda wildcards: candidates(wildcards.phase, "<results>/icl_gap/{phase}/{model}/accuracy.csv"),
        manifests=lambda wildcards: candidates(wildcards.phase, "<results>/models/{model}/manifest.json"),
    output:
        "<results>/icl_gap/{phase}.json",
    params:
        spec=spec_of(STUDY.icl_gap_summary),
        code=code_digest("summarise_icl_gap.py"),
    log:
        "<logs>/summarise_icl_gap/{phase}.log",
    benchmark:
        "<benchmarks>/summarise_icl_gap/{phase}.tsv"
    conda:
        "../envs/analysis.yaml"
    shell:
        "python {SCRIPTS:q}/summarise_icl_gap.py --spec {params.spec:q} --accuracy {input.accuracy:q}"
        " --manifests {input.manifests:q} --output {output:q} 2>&1 | tee {log:q}"
