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


rule demo:
    input:
        everything(),
