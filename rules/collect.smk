# What the study adds up to: which files each table, figure and named target is made from.

from fewshot_distillation.analysis import tables

TABLES = [*tables.TABLES] + ["published_vs_measured"] * len(PUBLISHED)

CAPTIONS = {
    "main_comparison": "Accuracy of the base model and of every condition at the end of training.",
    "accuracy_curve": "Accuracy at every checkpoint; grey lines are the base model.",
    "lambda_sweep": "Accuracy at the end of training against the weight λ; a dashed line is plain fine-tuning.",
    "loss_curves": "Cross-entropy on the answers, and the weighted distillation loss on a logarithmic scale.",
    "learning_rate": "The learning rate that each optimizer step really had.",
    "icl_gap": "Accuracy of the base candidates against the number of demonstrations in the prompt.",
}
MODEL_FIGURES = [figure for figure in CAPTIONS if figure != "icl_gap"]
# Those that show training itself, from metrics.csv; the others show accuracies.
OF_TRAINING = ("loss_curves", "learning_rate")


def runs_of_figure(figure, model):
    select = {"lambda_sweep": STUDY.sweep_runs, "accuracy_curve": STUDY.default_runs}.get(figure, STUDY.main_runs)
    runs = select(model)
    if not runs:
        raise WorkflowError(f"figure '{figure}': the configuration has no runs of model '{model}' to show in it")
    return runs


def accuracy_of_figure(figure):
    """Input function: accuracy.csv of the runs, and of the baselines where the figure shows them."""

    def inputs(wildcards):
        if figure in OF_TRAINING:
            return []
        baselines = [] if figure == "lambda_sweep" else baselines_of(wildcards.model, "accuracy.csv")
        return baselines + files_of(runs_of_figure(figure, wildcards.model), "accuracy.csv")

    return inputs


def published_of_figure(figure):
    return [] if figure in OF_TRAINING else PUBLISHED_HERE


def metrics_of_figure(figure):
    """Input function: metrics.csv of the runs, for the figures that show training itself."""
    return lambda wildcards: (
        files_of(runs_of_figure(figure, wildcards.model), "metrics.csv") if figure in OF_TRAINING else []
    )


def spec_of_figure(figure):
    return lambda wildcards: plot_spec(STUDY, figure, wildcards.model).model_dump_json()


def figures_of(model):
    return [name for name in MODEL_FIGURES if name != "lambda_sweep" or STUDY.sweep_runs(model)]


def figure_captions():
    """Every figure of the study: its path below the results folder, and its caption."""
    figures = {f"figures/icl_gap_{phase}.png": "icl_gap" for phase in STUDY.config.icl_gap}
    for model in STUDY.models:
        figures |= {f"figures/{model}/{name}.png": name for name in figures_of(model)}
    rings = {name: " Rings are the published accuracies." for name in CAPTIONS if published_of_figure(name)}
    return {path: CAPTIONS[name] + rings.get(name, "") for path, name in figures.items()}


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
