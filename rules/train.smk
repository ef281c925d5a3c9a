# Training runs.


rule train:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        signal=signal_audit,
        targets=LAYOUT.targets,
        written=LAYOUT.written,
        judged=LAYOUT.judged,
    output:
        checkpoints="<run>/checkpoints/manifest.json",
        metrics="<run>/metrics.csv",
    log:
        "<logs>/train/{model}/{condition}-{lam}-{seed}-{schedule}.log",
    benchmark:
        "<benchmarks>/train/{model}/{condition}-{lam}-{seed}-{schedule}.tsv"
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        gpu=gpus("train"),
    params:
        **job("train.py", STUDY.train, code=training_code, machine="train"),
    message:
        "Training {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
        " schedule {wildcards.schedule}"
    shell:
        "python {params.scripts:q}/train.py --machine {params.machine:q} --spec {params.spec:q}"
        " --model {input.model:q} --train {input.train:q} --targets {input.targets:q} --written {input.written:q}"
        " --judged {input.judged:q} --checkpoints {output.checkpoints:q} --metrics {output.metrics:q} 2>&1 | tee {log:q}"
