# Answers on the test set, and their accuracy. Generation needs the model; scoring needs only the answers.


rule baseline:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        test="<data>/test.jsonl",
    output:
        "<baseline>/predictions.parquet",
    log:
        "<logs>/baseline/{model}/{shots}shot.log",
    benchmark:
        "<benchmarks>/baseline/{model}/{shots}shot.tsv"
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        baseline=program("generate.py", "baseline", state=STATE, server=SERVER),
        gpu=gpus("baseline"),
    params:
        spec=spec_of(STUDY.baseline),
        code=code_of("generate.py", *ENGINES),
    message:
        "{wildcards.shots}-shot answers of the untrained {wildcards.model}"
    shell:
        "{resources.baseline} --spec {params.spec:q} --model {input.model:q} --train {input.train:q}"
        " --test {input.test:q} --output {output:q} 2>&1 | tee {log:q}"


rule eval_checkpoint:
    input:
        model="<weights>/manifest.json",
        checkpoints="<run>/checkpoints/manifest.json",
        test="<data>/test.jsonl",
    output:
        "<run>/predictions.parquet",
    log:
        "<logs>/eval_checkpoint/{model}/{condition}-{lam}-{seed}-{schedule}.log",
    benchmark:
        "<benchmarks>/eval_checkpoint/{model}/{condition}-{lam}-{seed}-{schedule}.tsv"
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        eval_checkpoint=program("eval_checkpoint.py", "eval_checkpoint", state=STATE, server=SERVER),
        gpu=gpus("eval_checkpoint"),
    params:
        spec=spec_of(STUDY.eval_checkpoint),
        code=code_of("eval_checkpoint.py", *ENGINES),
    message:
        "Answers of {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
        " schedule {wildcards.schedule}"
    shell:
        "{resources.eval_checkpoint} --spec {params.spec:q} --model {input.model:q} --checkpoints {input.checkpoints:q}"
        " --test {input.test:q} --output {output:q} 2>&1 | tee {log:q}"


rule score:
    input:
        predictions="<run>/predictions.parquet",
        test="<data>/test.jsonl",
    output:
        accuracy="<run>/accuracy.csv",
        judged="<run>/judged.parquet",
    log:
        "<logs>/score/{model}/{condition}-{lam}-{seed}-{schedule}.log",
    benchmark:
        "<benchmarks>/score/{model}/{condition}-{lam}-{seed}-{schedule}.tsv"
    conda:
        "../envs/analysis.yaml"
    resources:
        score=program("score.py"),
    params:
        spec=spec_of(STUDY.score_run),
        code=code_of("score.py", *STUDY.scorer_modules),
    message:
        "Scoring {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
        " schedule {wildcards.schedule}"
    shell:
        "{resources.score} --spec {params.spec:q} --predictions {input.predictions:q} --test {input.test:q}"
        " --accuracy {output.accuracy:q} --judged {output.judged:q} 2>&1 | tee {log:q}"


use rule score as score_baseline with:
    input:
        predictions="<baseline>/predictions.parquet",
        test="<data>/test.jsonl",
    output:
        accuracy="<baseline>/accuracy.csv",
        judged="<baseline>/judged.parquet",
    log:
        "<logs>/score/{model}/{shots}shot.log",
    benchmark:
        "<benchmarks>/score/{model}/{shots}shot.tsv"
    params:
        spec=spec_of(STUDY.score_baseline),
        code=code_of("score.py", *STUDY.scorer_modules),
    message:
        "Scoring {wildcards.shots}-shot answers of the untrained {wildcards.model}"


use rule score as score_icl_gap with:
    input:
        predictions="<gap>/predictions.parquet",
        test="<data>/test.jsonl",
    output:
        accuracy="<gap>/accuracy.csv",
        judged="<gap>/judged.parquet",
    log:
        "<logs>/score/icl_gap-{phase}/{model}.log",
    benchmark:
        "<benchmarks>/score/icl_gap-{phase}/{model}.tsv"
    params:
        spec=spec_of(STUDY.score_icl_gap),
        code=code_of("score.py", *STUDY.scorer_modules),
    message:
        "Scoring phase 0 '{wildcards.phase}' of {wildcards.model}"
