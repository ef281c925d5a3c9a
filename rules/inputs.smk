# Input functions that several rules share, and those that depend on the condition.


def when_asked_for(runs, *files):
    """Input function: files of runs, listed only for a target that is wanted, not for every target of the workflow."""
    return lambda wildcards: [path for file in files for path in files_of(runs, file)]


def in_order(first, then):
    """A file that comes first as an order and not as data: what is there isn't stale when the file is made again.

    Snakemake doesn't check for missing outputs of a job where one of its `ancient` inputs is made again,
    so the input is only that while `then`, the output of the job that comes after it, is there.
    """
    return ancient(first) if os.path.exists(then.replace("<results>", STUDY.config.results)) else first


def phase_zero(wildcards):
    """Input function: phase 0, which is finished before the teacher's targets are computed."""
    phase = STUDY.gap_before(wildcards.model)
    if phase is None:
        return []
    cache = "<results>/teachers/{model}/{teacher}/{text}/activations.safetensors".format(**wildcards)
    return in_order(f"<results>/icl_gap/{phase}/{wildcards.model}.done", cache)


def caches_of(wildcards):
    """The folder of each target's cache, in the order of a condition's targets."""
    pairs = STUDY.targets(wildcards.condition)
    return [f"<results>/teachers/{wildcards.model}/{target.teacher}/{text}" for target, text in pairs]


def signal_audit(wildcards):
    """Input function: the audit of each target's signal, which is made before anything is trained."""
    (trained,) = files_of([wildcards], "checkpoints/manifest.json")
    return [in_order(f"{folder}/signal.json", trained) for folder in dict.fromkeys(caches_of(wildcards))]


CACHE_FILES = {
    "hidden_states": ("activations.safetensors", "meta.json"),
    "logits": ("logits.safetensors", "audit.json"),
}


def targets(wildcards):
    """Input function: for each target of a condition the teacher's cache, and the file that describes it."""
    pairs = zip(STUDY.targets(wildcards.condition), caches_of(wildcards), strict=True)
    return [f"{folder}/{name}" for (target, _), folder in pairs for name in CACHE_FILES[target.target]]


def answers_of(model, teacher, file):
    """A file of the answers that a teacher wrote; none where what is read are the dataset's own."""
    return [] if teacher in (QUESTION, REFERENCE) else f"<results>/teachers/{model}/{teacher}/written/{file}"


def written_answers(wildcards):
    """Input function: the answers of a teacher that a condition learns from."""
    return answers_of(wildcards.model, STUDY.config.conditions[wildcards.condition].answers, "predictions.parquet")


def judged_answers(wildcards):
    """Input function: which of them are right, for a condition that keeps no others."""
    condition = STUDY.config.conditions[wildcards.condition]
    return [] if condition.keep == "all" else answers_of(wildcards.model, condition.answers, "judged.parquet")


def text_read(wildcards):
    """Input function: the answers that a teacher reads after its prompts, where a teacher wrote them."""
    return answers_of(wildcards.model, wildcards.text, "predictions.parquet")


EXPORTS = {model: exports(STUDY, model) for model in STUDY.models}


def runs_to_export(file):
    """Input function: a file of each run from which an export is chosen."""
    return lambda wildcards: files_of(EXPORTS[wildcards.model][wildcards.export], file)


def plain_runs(wildcards):
    """Input function: accuracies of plain fine-tuning, which the card of an export shows beside its own."""
    return files_of([run for run in STUDY.runs_of(wildcards.model) if run.condition == STUDY.plain], "accuracy.csv")
