"""Phase 0: one row for each candidate model and prompt."""

from typing import Any

from ...config.specs import AggregateSpec
from ..results import SHARES, Results


def columns(spec: AggregateSpec) -> list[str]:
    """Name the columns."""
    names = ["phase", "model", "parameters", "teacher", "shots", "n", "correct", "accuracy", "low", "high"]
    return [*names, *spec.scorers, *SHARES, "gap", "from_cut", "gap_ok", "floor_ok", "recommended"]


def rows(results: Results, spec: AggregateSpec) -> list[dict[str, Any]]:
    """Return the rows of every phase 0 summary."""
    return [
        {"phase": gap["phase"], "model": model, "recommended": model == gap["recommended"]}
        | {key: entry[key] for key in ("parameters", "gap", "from_cut", "gap_ok", "floor_ok")}
        | accuracy
        for gap in results.gaps
        for model, entry in gap["models"].items()
        for accuracy in entry["accuracy"]
    ]
