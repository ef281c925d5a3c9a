"""The specs of what a study hands over: its report, and exported models."""

from ..tasks import task_of
from .conditions import Condition
from .digests import template_digest
from .runs import Run
from .specs import Candidate, ExportSpec, ReportSpec
from .study import Study

# The export of the run that validation chooses, in the place of a condition and its λ.
CHOSEN = "chosen"


def report_spec(study: Study, figures: dict[str, str]) -> ReportSpec:
    return ReportSpec(
        title=f"Few-shot distillation on {study.config.dataset}",
        figures=figures,
        labels=study.labels,
        prompts=study.prompts.labels,
        templates=template_digest("report"),
    )


def exports(study: Study, model: str) -> dict[str, list[Run]]:
    """Return every export of a model by name, with the runs that it is chosen from.

    With validation rows that are all runs of conditions with a teacher, or of plain fine-tuning where there are no
    others; without, it is one run, with the most steps and examples, of those at each condition's own λ.
    """
    validated = study.dataset.validation > 0
    chosen = study.runs_of(model) if validated else study.main_runs(model)
    taught = [run for run in chosen if study.config.conditions[run.condition].all_targets]
    found = {CHOSEN: taught or chosen}
    for run in study.runs_of(model):
        found.setdefault(f"{run.condition}_{run.lam}", []).append(run)
    return found if validated else {name: [_longest(study, runs)] for name, runs in found.items()}


def _longest(study: Study, runs: list[Run]) -> Run:
    def size(run: Run) -> tuple[int, float]:
        examples = study.variants[run.schedule].train_examples
        return study.steps(run.schedule), float("inf") if examples is None else examples

    return max(runs, key=size)


def export_name(model: str, export: str) -> str:
    """Return the target that people type for an export."""
    return f"export_{model}" if export == CHOSEN else f"export_{export}_{model}"


def export_spec(study: Study, model: str, export: str) -> ExportSpec:
    config, task = study.config, task_of(study.dataset.task)
    return ExportSpec(
        templates=template_digest("export"),
        model=study.model_spec(model),
        license=config.models[model].license,
        dataset=study.dataset,
        dataset_license=config.datasets[config.dataset].license,
        teachers=config.teachers,
        candidates=[_candidate(run, config.conditions[run.condition]) for run in exports(study, model)[export]],
        labels=study.labels,
        prompts=study.prompts.labels,
        evaluation=config.evaluation,
        metric=config.metric,
        right=f"an answer counts as right if {task.scorers[config.metric].right}",
        confidence=config.confidence,
        precision=config.precision,
        command=f"snakemake {export_name(model, export)} --profile profiles/local",
    )


def _candidate(run: Run, condition: Condition) -> Candidate:
    return Candidate(
        condition=run.condition,
        label=condition.label,
        learning=condition.learning,
        **{"lambda": float(run.lam)},
        seed=run.seed,
        schedule=run.schedule,
    )
