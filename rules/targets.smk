# Named targets: train_<condition>_<λ>_<model>, eval_<condition>_<λ>_<model>, and the shorter names of `all`'s parts.


# People type them; a job of a cluster, which reads all this again, has no use for them.
for target, runs in named_runs().items() if SNAKEMAKE.is_driver else ():

    rule:
        name:
            f"train_{target}"
        input:
            when_asked_for(runs, "checkpoints/manifest.json", "metrics.csv"),

    rule:
        name:
            f"eval_{target}"
        input:
            when_asked_for(runs, "accuracy.csv"),


rule figures:
    input:
        figure_files(),


rule tables:
    input:
        "<results>/summary.json",


# Optional studies, each with the settings that go with it (rules/configuration.smk).
for study in (name for name, one in STUDY.config.studies.items() if one.optional and SNAKEMAKE.is_driver):

    rule:
        name:
            study
        input:
            everything(),


# How far the study is; it takes nothing, so it may be asked for while a driver is at work.
rule status:
    log:
        "<logs>/status.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        results=STUDY.config.results,
        program=f"{SCRIPTS}/status.py",
    message:
        "How far the study is"
    shell:
        "python {params.program:q} --results {params.results:q} 2>&1 | tee {log:q}"
