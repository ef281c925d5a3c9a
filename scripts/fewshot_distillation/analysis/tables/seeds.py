"""Every checkpoint of every run, seed by seed, with whether it is the one that the run is compared with."""

from typing import Any

from ...config.runs import RUN
from ...config.specs import AggregateSpec
from ..results import SHARES, Results


def columns(spec: AggregateSpec) -> list[str]:
    """Name the columns."""
    return [
        "label",
        *RUN,
        "step",
        "chosen",
        "checkpoint",
        "n",
        "correct",
        "accuracy",
        "low",
        "high",
        *spec.scorers,
        *SHARES,
    ]


def rows(results: Results, spec: AggregateSpec) -> list[dict[str, Any]]:
    """Return a row for each run and step."""
    found = []
    for cell in sorted(cell for cell in results.cells if not results.is_base(cell)):
        chosen = results.chosen_steps(cell)
        for (seed, step), row in sorted(results.cells[cell].items()):
            extra = {"label": results.label(cell), "chosen": chosen[seed] == step, "checkpoint": results.rule(cell)}
            found.append(row | extra)
    return found
