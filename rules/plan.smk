# What the study takes, printed before anything runs: snakemake plan. It takes nothing, like `status`.
import json

from fewshot_distillation.estimate.jobs import LIST_JOBS

if SNAKEMAKE.is_driver and len(SNAKEMAKE.targets(["plan"])) > 1:
    raise WorkflowError(
        "'plan' can't be combined with other targets; the plan of an optional study: snakemake plan"
        " --config build='[<study>]'"
    )
if LIST_JOBS in os.environ:
    SNAKEMAKE.jobs_as_summary()


rule plan:
    log:
        "<logs>/plan.log",
    localrule: True
    conda:
        "../envs/study.yaml"
    params:
        configuration=lambda wildcards: json.dumps(config),
        arguments=instead_of_plan,
        program=f"{SCRIPTS}/plan.py",
    message:
        "What the study takes"
    shell:
        # What grows with the study would not fit into a command line.
        "printf %s {params.configuration:q} > {log:q}.config.json; "
        "python {params.program:q} --configuration {log:q}.config.json -- {params.arguments:q} 2>&1 | tee {log:q}"
