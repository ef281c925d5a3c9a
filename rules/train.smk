# Training runs.


def targets(wildcards):
    """The teacher's cache that a condition learns from, and the file that describes it."""
    condition = STUDY.config.conditions[wildcards.condition]
    if condition.target == "none":
        return []
    folder = f"<results>/teachers/{wildcards.model}/{condition.teacher}"
    names = {
        "hidden_states": ("activations.safetensors", "meta.json"),
        "logits": ("logits.safetensors", "audit.json"),
    }
    return [f"{folder}/{name}" for name in names[condition.target]]


def training_code(wildcards):
    """Digest of the trainer and of the one loss that the condition uses: another loss may change freely."""
    condition = STUDY.config.conditions[wildcards.condition]
    loss = [] if condition.target == "none" else [f"student.losses.{condition.loss}"]
    return code_digest("train.py", *loss)


rule train:
    message:
        "Training {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
        " schedule {wildcards.schedule}"
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        targets=targets,
    output:
        checkpoints="<run>/checkpoints/manifest.json",
        metrics="<run>/metrics.csv",
    params:
        spec=spec_of(STUDY.train),
        code=training_code,
        checkpoints=lambda wildcards, output: os.path.dirname(output.checkpoints),
        tensorboard=lambda wildcards, output: f"{os.path.dirname(output.metrics)}/tensorboard",
    log:
        "<logs>/train/{model}/{condition}-{lam}-{seed}-{schedule}.log",
    benchmark:
        "<benchmarks>/train/{model}/{condition}-{lam}-{seed}-{schedule}.tsv"
    threads: HEAVY_THREADS
    resources:
        gpu=gpus("train"),
    conda:
        "../envs/study.yaml"
    shell:
        "python {SCRIPTS:q}/train.py --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --targets {input.targets:q} --trackers {TRACKERS:q} --save-state-every {SAVE_STATE_EVERY}"
        " --state {STATE:q} --checkpoints {params.checkpoints:q} --metrics {output.metrics:q}"
        " --tensorboard {params.tensorboard:q} 2>&1 | tee {log:q}"
