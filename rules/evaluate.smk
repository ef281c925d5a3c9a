# Answers on the test set, and their accuracy. Generation needs the model; scoring needs only the answers.


rule baseline:
    input:
        model="<weights>/manifest.json",
        train="<data>/train.jsonl",
        test="<data>/test.jsonl",
    output:
        "<baseline>/predictions.parquet",
    log:
        "<logs>/baseline/{model}/{prompt}-{questions}.log",
    benchmark:
        "<benchmarks>/baseline/{model}/{prompt}-{questions}.tsv"
    conda:
        "../envs/study.yaml"
    threads: HEAVY_THREADS
    resources:
        gpu=gpus("baseline"),
    params:
        **job("generate.py", STUDY.baseline, *ENGINES, machine="baseline"),
    message:
        "Answers of the base model {wildcards.model}, prompt '{wildcards.prompt}', questions '{wildcards.questions}'"
    shell:
        "python {params.scripts:q}/generate.py --machine {params.machine:q} --spec {params.spec:q}"
        " --model {input.model:q} --train {input.train:q} --questions {input.test:q} --output {output:q}"
        " 2>&1 | tee {log:q}"


RUN = "{condition}-{lam}-{seed}-{schedule}"
# Answers of a run's checkpoints: the folder that they are put in, the questions, and the spec.
EVALUATED = {
    "eval_checkpoint": ("<run>", "test", STUDY.eval_checkpoint),
    "eval_validation": ("<run>/validation", "validation", STUDY.eval_validation),
}

for name, (folder, split, spec) in EVALUATED.items():

    rule:
        name:
            name
        input:
            model="<weights>/manifest.json",
            checkpoints="<run>/checkpoints/manifest.json",
            test=f"<data>/{split}.jsonl",
        output:
            f"{folder}/predictions.parquet",
        log:
            f"<logs>/{name}/{{model}}/{RUN}.log",
        benchmark:
            f"<benchmarks>/{name}/{{model}}/{RUN}.tsv"
        conda:
            "../envs/study.yaml"
        threads: HEAVY_THREADS
        resources:
            gpu=gpus("eval_checkpoint"),
        params:
            **job("eval_checkpoint.py", spec, *ENGINES, machine="eval_checkpoint"),
        message:
            "Answers of {wildcards.model}, {wildcards.condition}, λ {wildcards.lam}, seed {wildcards.seed},"
            f" schedule {{wildcards.schedule}}, {split} questions"
        shell:
            "python {params.scripts:q}/eval_checkpoint.py --machine {params.machine:q} --spec {params.spec:q}"
            " --model {input.model:q} --checkpoints {input.checkpoints:q} --test {input.test:q} --output {output:q}"
            " 2>&1 | tee {log:q}"


# The same evaluation again, on another engine or in batches of another shape: the noise of generation.
use rule baseline as rerun with:
    output:
        "<rerun>/predictions.parquet",
    log:
        "<logs>/rerun/{model}/{rerun}-{prompt}.log",
    benchmark:
        "<benchmarks>/rerun/{model}/{rerun}-{prompt}.tsv"
    resources:
        gpu=gpus("rerun"),
    params:
        **job("generate.py", STUDY.rerun, *STUDY.rerun_modules, machine="rerun"),
    message:
        "Rerun '{wildcards.rerun}' of the base model {wildcards.model}, prompt '{wildcards.prompt}'"


# Scoring, of each kind of answers: the folder that they are in, the questions, the log, and the spec.
SCORED = {
    "score": ("<run>", "test", RUN, STUDY.score_run),
    "score_validation": ("<run>/validation", "validation", f"validation-{RUN}", STUDY.score_validation),
    "score_baseline": ("<baseline>", "test", "{prompt}-{questions}", STUDY.score_baseline),
    "score_answers": ("<written>", "train", "written-{teacher}", STUDY.score_answers),
    "score_rerun": ("<rerun>", "test", "rerun-{rerun}-{prompt}", STUDY.score_rerun),
}

for name, (folder, split, answers, spec) in SCORED.items():

    rule:
        name:
            name
        input:
            predictions=f"{folder}/predictions.parquet",
            test=f"<data>/{split}.jsonl",
        output:
            accuracy=f"{folder}/accuracy.csv",
            judged=f"{folder}/judged.parquet",
        log:
            f"<logs>/score/{{model}}/{answers}.log",
        benchmark:
            f"<benchmarks>/score/{{model}}/{answers}.tsv"
        conda:
            "../envs/analysis.yaml"
        params:
            **job("score.py", spec, *STUDY.scorer_modules),
        message:
            "Scoring {input.predictions}"
        shell:
            "python {params.scripts:q}/score.py --spec {params.spec:q}"
            " --predictions {input.predictions:q} --test {input.test:q} --accuracy {output.accuracy:q}"
            " --judged {output.judged:q} 2>&1 | tee {log:q}"
