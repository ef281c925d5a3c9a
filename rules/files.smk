# Where files are: names of folders in rules (`<run>`), the values of wildcards, and input functions that several rules
# share. The files of runs, baselines and teachers are named in config/layout.py, those of figures in study_figures.py.
from fewshot_distillation.config.layout import FOLDERS, Layout, folder_of
from fewshot_distillation.config.study_figures import StudyFigures

LAYOUT = Layout(STUDY)


@functools.cache
def models_of_other_protocols():
    """Models whose published accuracies came from another protocol, as figures say."""
    return {model for path in PUBLISHED_HERE for model in models_apart(ACCURACIES[path], own_protocol(STUDY))}


FIGURES = StudyFigures(LAYOUT, PUBLISHED_HERE, models_of_other_protocols)
TABLES = [*tables.TABLES] + ["published_vs_measured"] * len(PUBLISHED) + ["noise_floor"] * bool(STUDY.repeated)
PICTURES = FIGURES.files("png")
DRAWN = PICTURES + FIGURES.files("pdf")
EVERYTHING = ["<results>/summary.json", "<results>/analysis.md", "<results>/report.html", *DRAWN]
EXPORTS = {model: exports(STUDY, model) for model in STUDY.models}


def any_of(names):
    return "|".join(re.escape(str(name)) for name in sorted(names)) or "(?!)"


ALLOWED = {
    "model": any_of(STUDY.config.models),
    "dataset": any_of([STUDY.config.dataset]),
    "phase": any_of(STUDY.config.icl_gap),
    "teacher": any_of(STUDY.config.teachers),
    "text": any_of([QUESTION, REFERENCE, *STUDY.config.teachers]),
    "prompt": any_of(STUDY.prompts.all),
    "rerun": any_of(STUDY.config.reruns),
    "questions": any_of(STUDY.prompts.questions),
    "condition": any_of(STUDY.config.conditions),
    "schedule": any_of(STUDY.variants),
    "lam": any_of({run.lam for run in STUDY.runs}),
    "seed": any_of({run.seed for run in STUDY.runs}),
    "export": any_of({name for names in EXPORTS.values() for name in names}),
}


def constrained(path):
    """Return a path in which every wildcard has its constraint: Snakemake applies the global ones before it expands
    path variables."""
    return re.sub(r"\{(\w+)\}", lambda found: f"{{{found[1]},{ALLOWED[found[1]]}}}", path)


pathvars:
    **{name: constrained(path) for name, path in FOLDERS.items()},
    results=STUDY.config.results,
    logs="<results>/logs",
    benchmarks="<results>/benchmarks",
    data=f"<results>/data/{STUDY.config.dataset}",


wildcard_constraints:
    **ALLOWED,


def when_asked_for(runs, *files):
    """Input function: files of runs, listed only for a target that is wanted, not for every target of the workflow."""
    return lambda wildcards: [path for file in files for path in LAYOUT.runs(runs, file)]


def runs_to_export(file):
    """Input function: a file of each run from which an export is chosen."""
    return lambda wildcards: LAYOUT.runs(EXPORTS[wildcards.model][wildcards.export], file)


def plain_runs(wildcards):
    """Input function: accuracies of plain fine-tuning, which the card of an export shows beside its own."""
    return LAYOUT.runs([run for run in STUDY.runs_of(wildcards.model) if run.condition == STUDY.plain], "accuracy.csv")


def phase_zero(wildcards):
    """Input function: phase 0, which is finished before the teacher's targets are computed; an order and not data."""
    phase = STUDY.gap_before(wildcards.model)
    return [] if phase is None else [ancient(f"<results>/icl_gap/{phase}/{wildcards.model}.done")]


def signal_audit(wildcards):
    """Input function: the audit of each target's signal, which comes before training; an order and not data."""
    return [ancient(f"{cache}/signal.json") for cache in dict.fromkeys(LAYOUT.caches(wildcards))]
