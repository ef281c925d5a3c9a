"""What a figure shows, and its numbers over seeds, which are those of the tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..config.specs import PlotSpec
from .collect import read_accuracy, read_judged, read_metrics, read_published
from .results import Results, Steps


class Measured(NamedTuple):
    """Tables of the runs that a figure asks for; those that it doesn't ask for are empty.

    `accuracy` and `judged` are as `Results` takes them, `metrics` as `read_metrics` gives them, and `published` as
    `read_published` does, or None.
    """

    accuracy: pd.DataFrame
    judged: pd.DataFrame
    metrics: pd.DataFrame
    published: pd.DataFrame | None = None

    def results(self, spec: PlotSpec) -> Results:
        """Return right answers by condition, checkpoint, seed and question."""
        return Results(self.accuracy, self.judged, spec)

    @property
    def tested(self) -> pd.DataFrame:
        """Accuracies on the test questions."""
        return self.accuracy[self.accuracy["split"] == "test"]


def read(accuracy: Sequence[str], metrics: Sequence[str], published: Sequence[str]) -> Measured:
    """Read accuracy.csv files, each with judged.parquet beside it, metrics.csv files, and published accuracies."""
    judged = [Path(path).with_name("judged.parquet") for path in accuracy]
    return Measured(
        read_accuracy(list(accuracy)),
        read_judged(judged),
        read_metrics(list(metrics)) if metrics else pd.DataFrame(),
        read_published(published[0]) if published else None,
    )


class Pooled(NamedTuple):
    """An accuracy over seeds and questions with its interval, and the accuracy of each seed."""

    label: str
    condition: str
    lam: float | None
    step: int | None
    accuracy: float
    low: float
    high: float
    correct: int
    answers: int
    n: int
    each: list[float]


def pooled(results: Results, cell: tuple, steps: Steps) -> Pooled:
    """Pool a cell's answers at one step of each seed."""
    rates, steps_taken = results.rates(cell, steps), set(steps.values())
    return Pooled(
        label=results.label(cell),
        condition=results.name(cell, "condition"),
        lam=results.name(cell, "lambda"),
        step=next(iter(steps_taken)) if len(steps_taken) == 1 else None,
        each=[results.cells[cell][key]["accuracy"] for key in steps.items()],
        **{name: rates[name] for name in ("accuracy", "low", "high", "correct", "answers", "n")},
    )
