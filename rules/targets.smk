# Named targets: train_<condition>_<λ>_<model>, eval_<condition>_<λ>_<model>, and the shorter names of `all`'s parts.


def named_runs():
    """Runs by the name that people type; a λ that is a whole number may be typed as 1 or as 1.0."""
    groups = {}
    for run in STUDY.runs:
        for lam in {run.lam, str(float(run.lam))}:
            groups.setdefault(f"{run.condition}_{lam}_{run.model}", []).append(run)
    return groups


for target, runs in named_runs().items():

    rule:
        name:
            f"train_{target}"
        input:
            files_of(runs, "checkpoints/manifest.json"),

    rule:
        name:
            f"eval_{target}"
        input:
            files_of(runs, "accuracy.csv"),
