"""The base model with each prompt, and every condition at the end of its longest schedule, seeds pooled."""

from typing import Any

from ...config.runs import GROUP
from ...config.specs import AggregateSpec
from ..results import Results, differences, rates


def columns(spec: AggregateSpec) -> list[str]:
    """Name the columns."""
    return [
        "label",
        *GROUP,
        "teacher",
        "shots",
        "checkpoint",
        "step",
        *rates(spec),
        *differences("vs_fewshot"),
        *differences("vs_plain"),
    ]


def rows(results: Results, spec: AggregateSpec) -> list[dict[str, Any]]:
    """Return a row for each base model and condition; differences are for looking, `comparisons` has the verdicts."""
    return [row for model in spec.main for row in _of_model(results, spec, model)]


def _of_model(results: Results, spec: AggregateSpec, model: str) -> list[dict[str, Any]]:
    order = list(spec.labels)
    groups = sorted(spec.main[model], key=lambda group: order.index(group["condition"]))
    trained = [cell for cell in map(results.chosen_group, groups) if cell in results.cells]
    fewshot = results.of_prompt(model, spec.fewshot)
    found = []
    for cell in [*results.base(model), *trained]:
        plain = None if spec.plain is None or results.is_base(cell) else results.like(cell, **plain_of(spec.plain))
        found.append(row_of(results, cell, {"vs_fewshot": fewshot, "vs_plain": plain}))
    return found


def plain_of(plain: str) -> dict[str, Any]:
    """Return what makes a run the plain fine-tuning that it is compared with."""
    return {"condition": plain, "lambda": 0.0}


def row_of(results: Results, cell: tuple, others: dict[str, tuple | None]) -> dict[str, Any]:
    """Return a pooled row at the chosen checkpoint of every seed, with its differences from other cells at theirs."""
    steps = results.chosen_steps(cell)
    row = {"label": results.label(cell), "checkpoint": "" if results.is_base(cell) else results.rule(cell)}
    row |= results.named(cell) | {"step": one_step(steps)} | results.rates(cell, steps)
    for name, other in others.items():
        row |= results.against(name, cell, steps, other, results.chosen_steps(other) if other else {})
    return row


def one_step(steps: dict[int | None, int]) -> int | None:
    """Return the step of all seeds, or nothing where they differ."""
    return next(iter(steps.values())) if len(set(steps.values())) == 1 else None
