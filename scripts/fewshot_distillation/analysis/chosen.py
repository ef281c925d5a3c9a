"""Which checkpoint of a run counts, read from what the run left behind."""

from pathlib import Path

import pandas as pd


def chosen_step(run: Path) -> tuple[int, float | None]:
    """Return the step of a run's checkpoint that counts, and its validation accuracy.

    It is the one with the highest accuracy on the validation rows, the earliest of equals; without such rows the last.
    """
    validation = run / "validation" / "accuracy.csv"
    if not validation.is_file():
        return int(pd.read_csv(run / "accuracy.csv")["step"].max()), None
    scores = pd.read_csv(validation).sort_values("step")
    best = scores.loc[scores["accuracy"].idxmax()]
    return int(best["step"]), float(best["accuracy"])
