# Targets: what the frozen model with demonstrations in its prompt computes for every training question.


use rule baseline as write_answers with:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        test="<data>/train.jsonl",
    output:
        "<written>/predictions.parquet",
    log:
        "<logs>/write_answers/{model}/{teacher}.log",
    benchmark:
        "<benchmarks>/write_answers/{model}/{teacher}.tsv"
    priority: 10
    resources:
        gpu=gpus("write_answers"),
    params:
        **job("generate.py", STUDY.write_answers, *ENGINES, machine="write_answers"),
    message:
        "Answers of {wildcards.model} to the training questions, teacher '{wildcards.teacher}'"


rule precompute_activations:
    input:
        phase_zero,
        written=LAYOUT.text_read,
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
        gpu=gpus("precompute_activations"),
    params:
        **job("precompute_activations.py", STUDY.precompute_activations, machine="precompute_activations"),
    message:
        "Hidden states of {wildcards.model}, teacher '{wildcards.teacher}', text '{wildcards.text}'"
    shell:
        "python {params.scripts:q}/precompute_activations.py --machine {params.machine:q} --spec {params.spec:q}"
        " --model {input.model:q} --train {input.train:q} --written {input.written:q} --output {output.cache:q}"
        " --meta {output.meta:q} 2>&1 | tee {log:q}"


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
        gpu=gpus("precompute_logits"),
    params:
        **job("precompute_logits.py", STUDY.precompute_logits, machine="precompute_logits"),
    message:
        "Logits of {wildcards.model}, teacher '{wildcards.teacher}', text '{wildcards.text}'"
    shell:
        "python {params.scripts:q}/precompute_logits.py --machine {params.machine:q} --spec {params.spec:q}"
        " --model {input.model:q} --activations {input.activations:q} --meta {input.meta:q} --output {output.cache:q}"
        " --audit {output.audit:q} 2>&1 | tee {log:q}"


rule audit_signal:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        activations="<teacher>/activations.safetensors",
        meta="<teacher>/meta.json",
        written=LAYOUT.text_read,
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
        gpu=gpus("audit_signal"),
    params:
        **job("audit_signal.py", STUDY.audit_signal, machine="audit_signal"),
    message:
        "What {wildcards.model} can learn from teacher '{wildcards.teacher}', text '{wildcards.text}'"
    shell:
        "python {params.scripts:q}/audit_signal.py --machine {params.machine:q} --spec {params.spec:q}"
        " --model {input.model:q} --train {input.train:q} --activations {input.activations:q} --meta {input.meta:q}"
        " --written {input.written:q} --output {output:q} 2>&1 | tee {log:q}"
