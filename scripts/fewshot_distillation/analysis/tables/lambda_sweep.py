"""Accuracy at the chosen checkpoint for every weight λ, with the plain fine-tuning that it is measured against."""

from typing import Any

from ...config.runs import GROUP
from ...config.specs import AggregateSpec
from ..results import Results, cell_of, differences, rates
from .main_comparison import plain_of, row_of


def columns(spec: AggregateSpec) -> list[str]:
    """Name the columns."""
    return ["label", *GROUP, "checkpoint", "step", *rates(spec), *differences("vs_plain")]


def rows(results: Results, spec: AggregateSpec) -> list[dict[str, Any]]:
    """Return a row for each group of runs of a sweep."""
    found = []
    for groups in spec.sweeps.values():
        cells = sorted(cell_of(group | {"shots": 0}) for group in groups)
        for cell in (cell for cell in cells if cell in results.cells):
            plain = results.like(cell, **plain_of(spec.plain)) if spec.plain else None
            found.append(row_of(results, cell, {"vs_plain": plain}))
    return sorted(found, key=lambda row: [row[key] for key in ("model", "condition", "schedule", "lambda")])
