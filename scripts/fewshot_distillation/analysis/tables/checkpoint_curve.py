"""Accuracy of every condition at every checkpoint, seeds pooled."""

from typing import Any

from ...config.runs import GROUP
from ...config.specs import AggregateSpec
from ..results import Results, differences, rates
from .main_comparison import plain_of


def columns(spec: AggregateSpec) -> list[str]:
    """Name the columns."""
    return ["label", *GROUP, "step", *rates(spec), *differences("vs_plain")]


def rows(results: Results, spec: AggregateSpec) -> list[dict[str, Any]]:
    """Return a row for each group of runs and step; differences are from plain fine-tuning at the same step."""
    found = []
    for cell in sorted(cell for cell in results.cells if not results.is_base(cell)):
        plain = results.like(cell, **plain_of(spec.plain)) if spec.plain else None
        for step in sorted({step for _, step in results.cells[cell]}):
            at, plain_at = results.at_step(cell, step), results.at_step(plain, step) if plain else {}
            row = {"label": results.label(cell), **results.named(cell), "step": step} | results.rates(cell, at)
            found.append(row | results.against("vs_plain", cell, at, plain if plain_at else None, plain_at))
    return found
