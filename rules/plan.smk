# What the study takes, printed before anything runs: snakemake plan. It takes nothing, like `status`.
import json


rule plan:
    log:
        "<logs>/plan.log",
    localrule: True
    conda:
        "../envs/study.yaml"
    params:
        configuration=lambda wildcards: json.dumps(config),
        files=lambda wildcards: json.dumps(SNAKEMAKE.files()),
        arguments=lambda wildcards: instead_of("plan", "all"),
        program=f"{SCRIPTS}/plan.py",
    message:
        "What the study takes"
    shell:
        "python {params.program:q} --configuration {params.configuration:q} --files {params.files:q}"
        " -- {params.arguments:q} 2>&1 | tee {log:q}"
