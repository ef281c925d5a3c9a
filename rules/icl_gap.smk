# Phase 0: what demonstrations in the prompt are worth to each candidate model, from the answers of rules/evaluate.smk.


# The teacher waits for it; a file of its own, because other questions have other paths, and a changed set of inputs would
# make the teacher stale.
rule icl_gap:
    input:
        lambda wildcards: LAYOUT.asked_in_phase(wildcards.phase, "predictions.parquet", [wildcards.model]),
    output:
        touch("<results>/icl_gap/{phase}/{model}.done"),
    localrule: True
    message:
        "Phase 0 '{wildcards.phase}' of {wildcards.model} is answered"


rule summarise_icl_gap:
    input:
        accuracy=lambda wildcards: LAYOUT.asked_in_phase(wildcards.phase, "accuracy.csv"),
        judged=lambda wildcards: LAYOUT.asked_in_phase(wildcards.phase, "judged.parquet"),
        manifests=lambda wildcards: [
            f"{folder_of('weights', model=model)}/manifest.json"
            for model in STUDY.config.icl_gap[wildcards.phase].models
        ],
    output:
        "<results>/icl_gap/{phase}.json",
    log:
        "<logs>/summarise_icl_gap/{phase}.log",
    benchmark:
        "<benchmarks>/summarise_icl_gap/{phase}.tsv"
    conda:
        "../envs/analysis.yaml"
    params:
        **job("summarise_icl_gap.py", STUDY.icl_gap_summary),
    message:
        "Phase 0 '{wildcards.phase}': which model to use"
    shell:
        "python {params.scripts:q}/summarise_icl_gap.py --spec {params.spec:q}"
        " --accuracy {input.accuracy:q} --judged {input.judged:q} --manifests {input.manifests:q}"
        " --output {output:q} 2>&1 | tee {log:q}"
