"""The specs of figures, tables and the written analysis."""

from ..tasks import task_of
from .runs import Run
from .specs import AggregateSpec, AnalysisSpec, PlotSpec
from .study import Study


def plot_spec(study: Study, figure: str, model: str | None = None, phase: str | None = None) -> PlotSpec:
    plots = study.config.plots
    return PlotSpec(
        figure=figure,
        model=model,
        phase=phase,
        labels=study.labels,
        prompts=study.prompts.labels,
        variants=study.variant_words(study.runs_of_figure(figure, model)) if model else {},
        fewshot=study.fewshot,
        lambdas={name: condition.lam for name, condition in study.config.conditions.items()},
        dpi=plots.dpi,
        width=plots.width,
        font_size=plots.font_size,
        confidence=study.config.confidence,
    )


def aggregate_spec(study: Study) -> AggregateSpec:
    def groups(runs: list[Run]) -> list[dict[str, str | float | int]]:
        return list({tuple(run.group.items()): run.group for run in runs}.values())

    taught = {name: condition.learning for name, condition in study.trained.items() if condition.all_targets}
    return AggregateSpec(
        dataset=study.config.dataset,
        validation=study.dataset.validation,
        labels=study.labels,
        prompts=study.prompts.labels,
        variants=study.variant_words([run for model in study.models for run in study.main_runs(model)]),
        conditions=taught,
        plain=study.plain,
        fewshot=study.fewshot,
        main={model: groups(study.main_runs(model)) for model in study.models},
        sweeps={model: groups(study.sweep_runs(model)) for model in study.models},
        families=study.families,
        margin=study.config.equivalence_margin,
        confidence=study.config.confidence,
        scorers={name: task_of(study.dataset.task).scorers[name].right for name in study.config.scorers},
        metric=study.config.metric,
    )


def analysis_spec(study: Study, figures: dict[str, str]) -> AnalysisSpec:
    shown = {"dataset", "teachers", "evaluation"}
    config = study.config.model_dump(mode="json", by_alias=True, include=shown)
    used = study.variants.values()
    for name, entries in (("schedule", study.config.schedules), ("recipe", study.config.training)):
        names = dict.fromkeys(getattr(variant, name) for variant in used)
        key = "schedules" if name == "schedule" else "training"
        config[key] = {one: entries[one].model_dump(mode="json") for one in names}
    trained = {
        name: one.learning.model_dump(mode="json", by_alias=True) | {"label": one.label, "lambda": one.lam}
        for name, one in study.trained.items()
    }
    return AnalysisSpec(
        figures=figures, plain_label=study.labels.get(study.plain), config=config | {"conditions": trained}
    )
