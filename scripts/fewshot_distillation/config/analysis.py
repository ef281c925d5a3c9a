"""The specs of figures, tables and the written analysis."""

from ..tasks import task_of
from .own_protocol import own_protocol
from .runs import Run
from .specs import AggregateSpec, AnalysisSpec, PlotSpec
from .study import Study


def plot_spec(
    study: Study,
    figure: str,
    model: str | None = None,
    phase: str | None = None,
    other_protocol: bool = False,
) -> PlotSpec:
    plots = study.config.plots
    return PlotSpec(
        figure=figure,
        model=model,
        phase=phase,
        labels=study.labels,
        prompts=_prompt_labels(study),
        variants=study.variant_words(study.runs_of_figure(figure, model)) if model else {},
        fewshot=study.fewshot,
        lambdas={name: condition.lam for name, condition in study.trained.items()},
        dpi=plots.dpi,
        width=plots.width,
        font_size=plots.font_size,
        confidence=study.config.confidence,
        other_protocol=other_protocol,
    )


def _prompt_labels(study: Study) -> dict[str, str]:
    """Labels of the prompts that anything is asked with; others must not make a table stale."""
    asked = {*study.prompts.baselines(list(study.trained))}
    asked |= {name for gap in study.config.icl_gap.values() for name in study.prompts.of_gap(gap)}
    asked |= {name for pairs in study.families.values() for pair in pairs for name in pair}
    return {name: label for name, label in study.prompts.labels.items() if name in asked}


def aggregate_spec(study: Study) -> AggregateSpec:
    def groups(runs: list[Run]) -> list[dict[str, str | float | int]]:
        return list({tuple(run.group.items()): run.group for run in runs}.values())

    taught = {name: condition.learning for name, condition in study.trained.items() if condition.all_targets}
    return AggregateSpec(
        dataset=study.config.dataset,
        validation=study.dataset.validation,
        labels=study.labels,
        prompts=_prompt_labels(study),
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
        protocol=own_protocol(study) if study.config.published else None,
    )


def analysis_spec(study: Study, figures: dict[str, str]) -> AnalysisSpec:
    config = study.config.model_dump(mode="json", by_alias=True, include={"dataset", "evaluation"})
    shown = {teacher for _, teacher, _ in study.teachers_in_use}
    config["teachers"] = {name: t.model_dump(mode="json") for name, t in study.config.teachers.items() if name in shown}
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
