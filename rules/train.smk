# Training runs.


rule train:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        signal=signal_audit,
        targets=targets,
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
        scripts=SCRIPTS,
        gpu=gpus("train"),
        devices=gpus("train"),
        launcher=launcher("train"),
        trackers=TRACKERS,
        save_state_every=SAVE_STATE_EVERY,
        gradient_checkpointing=gradient_checkpointing,
    params:
        spec=spec_of(STUDY.train),
        code=training_code,
        checkpoints=lambda wildcards, output: os.path.dirname(output.checkpoints),
        tensorboard=lambda wildcards, output: f"{os.path.dirname(output.metrics)}/tensorboard",
        state=STATE,
    message:
        "Training {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
        " schedule {wildcards.schedule}"
    shell:
        "{resources.launcher} {resources.scripts:q}/train.py --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --targets {input.targets:q} --trackers {resources.trackers} --save-state-every {resources.save_state_every}"
        " --gradient-checkpointing {resources.gradient_checkpointing} --gpus {resources.devices} --state {params.state:q} --checkpoints {params.checkpoints:q} --metrics {output.metrics:q}"
        " --tensorboard {params.tensorboard:q} 2>&1 | tee {log:q}"
