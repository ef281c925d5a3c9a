# Targets that people type: train_<condition>_<λ>_<model>, eval_<condition>_<λ>_<model>, export_<model>, optional studies
# with the settings that go with them (rules/configuration.smk), parts of `all`, and `status`.
NAMED = [("figures", DRAWN), ("tables", "<results>/summary.json")]
NAMED += [(name, EVERYTHING) for name, study in STUDY.config.studies.items() if study.optional]
for target, runs in STUDY.named_runs().items():
    NAMED.append((f"train_{target}", when_asked_for(runs, "checkpoints/manifest.json", "metrics.csv")))
    NAMED.append((f"eval_{target}", when_asked_for(runs, "accuracy.csv")))
for model, names in EXPORTS.items():
    NAMED += [
        (export_name(model, name), f"{folder_of('export', model=model, export=name)}/manifest.json") for name in names
    ]

# A job of a cluster, which reads all this again, has no use for them.
for target, files in NAMED if SNAKEMAKE.is_driver else ():

    rule:
        name:
            target
        input:
            files,


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
