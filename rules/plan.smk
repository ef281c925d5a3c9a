# What the study takes, printed before anything runs: snakemake plan. It takes nothing, like `status`.
import json

if SNAKEMAKE.is_driver and len(SNAKEMAKE.targets(["plan"])) > 1:
    raise WorkflowError(
        "'plan' can't be combined with other targets; the plan of an optional study: snakemake plan"
        " --config build='[<study>]'"
    )


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
        # What grows with the study would not fit into a command line.
        "printf %s {params.configuration:q} > {log:q}.config.json; printf %s {params.files:q} > {log:q}.files.json; "
        "python {params.program:q} --configuration {log:q}.config.json --files {log:q}.files.json"
        " -- {params.arguments:q} 2>&1 | tee {log:q}"
