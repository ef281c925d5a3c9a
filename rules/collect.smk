# What the study adds up to: which files each table, figure and named target is made from.

from fewshot_distillation.analysis import tables
from fewshot_distillation.config.figures import METRICS, PHASE_ZERO, figures

TABLES = [*tables.TABLES] + ["published_vs_measured"] * len(PUBLISHED) + ["noise_floor"] * bool(STUDY.repeated)
# What each figure declares, by its name.
FIGURES = figures()
MODEL_FIGURES = [name for name, figure in FIGURES.items() if figure.runs != PHASE_ZERO]
PHASE_FIGURES = [name for name, figure in FIGURES.items() if figure.runs == PHASE_ZERO]


def runs_of_figure(figure, model):
    runs = STUDY.runs_of_figure(figure, model)
    if not runs:
        raise WorkflowError(f"figure '{figure}': the configuration has no runs of model '{model}' to show in it")
    return runs


def accuracy_of_figure(figure, file):
    """Input function: a file of the answers that a figure shows, of its runs and of the base model."""
    reads = FIGURES[figure].inputs

    def inputs(wildcards):
        if FIGURES[figure].runs == PHASE_ZERO:
            return answered_in(wildcards.phase, file)
        baselines = baselines_of(wildcards.model, file) if "baselines" in reads else []
        runs = runs_of_figure(figure, wildcards.model) if "accuracy" in reads else []
        validation = files_of(runs, f"validation/{file}") if STUDY.dataset.validation else []
        return baselines + files_of(runs, file) + validation

    return inputs


def metrics_of_figure(figure):
    """Input function: metrics.csv of the runs, for figures that show training itself."""
    reads = METRICS in FIGURES[figure].inputs
    return lambda wildcards: files_of(runs_of_figure(figure, wildcards.model), "metrics.csv") if reads else []


def published_of_figure(figure):
    return PUBLISHED_HERE if "published" in FIGURES[figure].inputs else []


@functools.cache
def models_of_other_protocols():
    """Models whose published accuracies came from another protocol, as figures say."""
    return {model for path in PUBLISHED_HERE for model in models_apart(ACCURACIES[path], own_protocol(STUDY))}


def spec_of_figure(figure):
    """Parameter function: the spec of a figure of a model, or of a phase 0 comparison."""

    def spec(wildcards):
        named = dict(wildcards.items())
        shown = STUDY.config.icl_gap[named["phase"]].models if "phase" in named else [named["model"]]
        apart = bool(published_of_figure(figure)) and not models_of_other_protocols().isdisjoint(shown)
        return plot_spec(STUDY, figure, **named, other_protocol=apart).model_dump_json()

    return spec


def caption_of(figure):
    """A figure's caption; Snakemake's report shows it, and no result depends on it."""
    rings = " Rings are the published accuracies." if published_of_figure(figure) else ""
    return FIGURES[figure].caption + rings


def figure_captions():
    """Every figure of the study: its path below the results folder, and its caption."""
    named = {f"figures/{name}_{phase}.png": name for name in PHASE_FIGURES for phase in STUDY.config.icl_gap}
    for model in STUDY.models:
        drawn = [name for name in MODEL_FIGURES if STUDY.runs_of_figure(name, model)]
        named |= {f"figures/{model}/{name}.png": name for name in drawn}
    return {path: caption_of(name) for path, name in named.items()}


def figure_files():
    paths = [f"<results>/{path}" for path in figure_captions()]
    return paths + [path.removesuffix("png") + "pdf" for path in paths]


def everything():
    return ["<results>/summary.json", "<results>/analysis.md", "<results>/report.html", *figure_files()]


def teachers_in_use(file):
    """A file of each teacher's cache that any run learns from."""
    return [f"<results>/teachers/{model}/{teacher}/{text}/{file}" for model, teacher, text in STUDY.teachers_in_use]


def answered(file):
    """A file of every baseline and run, those of the main comparison first, as readers see them."""
    found = []
    for model in STUDY.models:
        first = files_of(STUDY.main_runs(model) + STUDY.sweep_runs(model), file)
        found += dict.fromkeys(baselines_of(model, file) + first + files_of(STUDY.runs_of(model), file))
    return found


def named_runs():
    """Runs by the name that people type; a λ that is a whole number may be typed as 1 or as 1.0."""
    groups = {}
    for run in STUDY.runs:
        for lam in {run.lam, str(float(run.lam))}:
            groups.setdefault(f"{run.condition}_{lam}_{run.model}", []).append(run)
    return groups
