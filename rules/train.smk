# Training runs.


rule train:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        signal=signal_audit,
        targets=targets,
        written=written_answers,
        judged=judged_answers,
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
        train=program(
            "train.py",
            "train",
            state=STATE,
            save_state_every=STUDY.config.save_state_every,
            log_gradients_every=STUDY.config.log_gradients_every,
            trackers=STUDY.config.trackers,
            gradient_checkpointing=lambda model: int(STUDY.config.models[model].gradient_checkpointing),
        ),
        gpu=gpus("train"),
    params:
        spec=spec_of(STUDY.train),
        answers=lambda wildcards, input: optional(written=input.written, judged=input.judged),
        code=training_code,
    message:
        "Training {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
        " schedule {wildcards.schedule}"
    shell:
        "{resources.train} --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --targets {input.targets:q} {params.answers} --checkpoints {output.checkpoints:q} --metrics {output.metrics:q} 2>&1 | tee {log:q}"
