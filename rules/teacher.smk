# Targets: what the frozen model with demonstrations in its prompt computes for every training question.


rule write_answers:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
    output:
        "<written>/predictions.parquet",
    log:
        "<logs>/write_answers/{model}/{teacher}.log",
    benchmark:
        "<benchmarks>/write_answers/{model}/{teacher}.tsv"
    priority: 10
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        write_answers=program("generate.py", "write_answers", state=STATE, server=SERVER),
        gpu=gpus("write_answers"),
    params:
        spec=spec_of(STUDY.write_answers),
        code=code_of("generate.py", *ENGINES),
    message:
        "Answers of {wildcards.model} to the training questions, teacher '{wildcards.teacher}'"
    shell:
        "{resources.write_answers} --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --questions {input.train:q} --output {output:q} 2>&1 | tee {log:q}"


rule precompute_activations:
    input:
        phase_zero,
        written=text_read,
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
    output:
        cache="<teacher>/activations.safetensors",
        meta="<teacher>/meta.json",
    log:
        "<logs>/precompute_activations/{model}/{teacher}-{text}.log",
    benchmark:
        "<benchmarks>/precompute_activations/{model}/{teacher}-{text}.tsv"
    priority: 10
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        precompute_activations=program("precompute_activations.py", "precompute_activations", state=STATE),
        gpu=gpus("precompute_activations"),
    params:
        spec=spec_of(STUDY.precompute_activations),
        code=code_of("precompute_activations.py"),
        written=lambda wildcards, input: optional(written=input.written),
    message:
        "Hidden states of {wildcards.model}, teacher '{wildcards.teacher}', text '{wildcards.text}'"
    shell:
        "{resources.precompute_activations} --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " {params.written} --output {output.cache:q} --meta {output.meta:q} 2>&1 | tee {log:q}"


rule precompute_logits:
    input:
        model="<weights>/manifest.json",
        activations="<teacher>/activations.safetensors",
        meta="<teacher>/meta.json",
    output:
        cache="<teacher>/logits.safetensors",
        audit="<teacher>/audit.json",
    log:
        "<logs>/precompute_logits/{model}/{teacher}-{text}.log",
    benchmark:
        "<benchmarks>/precompute_logits/{model}/{teacher}-{text}.tsv"
    priority: 10
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        precompute_logits=program("precompute_logits.py", "precompute_logits", state=STATE),
        gpu=gpus("precompute_logits"),
    params:
        spec=spec_of(STUDY.precompute_logits),
        code=code_of("precompute_logits.py"),
    message:
        "Logits of {wildcards.model}, teacher '{wildcards.teacher}', text '{wildcards.text}'"
    shell:
        "{resources.precompute_logits} --spec {params.spec:q} --model {input.model:q}"
        " --activations {input.activations:q} --meta {input.meta:q}"
        " --output {output.cache:q} --audit {output.audit:q} 2>&1 | tee {log:q}"


rule audit_signal:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        activations="<teacher>/activations.safetensors",
        meta="<teacher>/meta.json",
        written=text_read,
    output:
        "<teacher>/signal.json",
    log:
        "<logs>/audit_signal/{model}/{teacher}-{text}.log",
    benchmark:
        "<benchmarks>/audit_signal/{model}/{teacher}-{text}.tsv"
    priority: 10
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        audit_signal=program("audit_signal.py", "audit_signal", state=STATE),
        gpu=gpus("audit_signal"),
    params:
        spec=spec_of(STUDY.audit_signal),
        code=code_of("audit_signal.py"),
        written=lambda wildcards, input: optional(written=input.written),
    message:
        "What {wildcards.model} can learn from teacher '{wildcards.teacher}', text '{wildcards.text}'"
    shell:
        "{resources.audit_signal} --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --activations {input.activations:q} --meta {input.meta:q} {params.written} --output {output:q} 2>&1 | tee {log:q}"
