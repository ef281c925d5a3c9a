# Targets: what the frozen model with demonstrations in its prompt computes for every training question.


def phase_zero(wildcards):
    """Phase 0 comes first as an order, not as data: measuring it again doesn't make the targets stale."""
    phase = STUDY.gap_before(wildcards.model)
    return [] if phase is None else ancient(f"<results>/icl_gap/{phase}/{wildcards.model}/predictions.parquet")


rule precompute_activations:
    message:
        "Hidden states of {wildcards.model}, teacher '{wildcards.teacher}'"
    input:
        phase_zero,
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
    output:
        cache="<teacher>/activations.safetensors",
        meta="<teacher>/meta.json",
    params:
        spec=spec_of(STUDY.precompute_activations),
        code=code_digest("precompute_activations.py"),
    log:
        "<logs>/precompute_activations/{model}/{teacher}.log",
    benchmark:
        "<benchmarks>/precompute_activations/{model}/{teacher}.tsv"
    threads: HEAVY_THREADS
    resources:
        gpu=gpus("teacher"),
    conda:
        "../envs/study.yaml"
    shell:
        "python {SCRIPTS:q}/precompute_activations.py --spec {params.spec:q} --model {input.model:q}"
        " --train {input.train:q} --state {STATE:q} --output {output.cache:q} --meta {output.meta:q}"
        " 2>&1 | tee {log:q}"


rule precompute_logits:
    message:
        "Logits of {wildcards.model}, teacher '{wildcards.teacher}'"
    input:
        model="<weights>/manifest.json",
        activations="<teacher>/activations.safetensors",
        meta="<teacher>/meta.json",
    output:
        cache="<teacher>/logits.safetensors",
        audit="<teacher>/audit.json",
    params:
        spec=spec_of(STUDY.precompute_logits),
        code=code_digest("precompute_logits.py"),
    log:
        "<logs>/precompute_logits/{model}/{teacher}.log",
    benchmark:
        "<benchmarks>/precompute_logits/{model}/{teacher}.tsv"
    threads: HEAVY_THREADS
    resources:
        gpu=gpus("teacher"),
    conda:
        "../envs/study.yaml"
    shell:
        "python {SCRIPTS:q}/precompute_logits.py --spec {params.spec:q} --model {input.model:q}"
        " --activations {input.activations:q} --meta {input.meta:q} --state {STATE:q}"
        " --output {output.cache:q} --audit {output.audit:q} 2>&1 | tee {log:q}"
