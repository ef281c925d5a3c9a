"""Which checkpoint of which run is exported, and its accuracies."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..analysis.chosen import chosen_step
from ..analysis.paired import paired_difference
from ..config.specs import Candidate, ExportSpec

ON_VALIDATION = "It has the highest accuracy on the validation rows, which are neither trained on nor tested."
LAST = "No validation rows were set aside, so it is the last checkpoint of its run, chosen before any result was seen."


class Choice(NamedTuple):
    """A checkpoint: its run's entry and folder, its step, its validation accuracy, and by which rule it was chosen."""

    candidate: Candidate
    run: Path
    step: int
    validation: float | None
    rule: str


class Result(NamedTuple):
    """One line of a card's table; `step` is None for the base model."""

    label: str
    step: int | None
    correct: int
    n: int
    accuracy: float
    low: float
    high: float
    right: pd.Series


def choose(candidates: list[Candidate], runs: list[Path]) -> Choice:
    """Return the checkpoint with the highest validation accuracy; the first of equals, by run and then by step.

    Without validation rows it is the last checkpoint of the first run.
    """
    found = [Choice(candidate, run, *chosen_step(run), LAST) for candidate, run in zip(candidates, runs, strict=True)]
    validated = [choice for choice in found if choice.validation is not None]
    if not validated:
        return found[0]
    return max(validated, key=lambda choice: choice.validation)._replace(rule=ON_VALIDATION)


def results(spec: ExportSpec, choice: Choice, baselines: list[Path], plain: list[Path]) -> list[Result]:
    """Return test accuracies: the base model's, those of plain fine-tuning, and last the chosen checkpoint's.

    Args:
        baselines: folders of the base model's answers.
        plain: folders of runs of plain fine-tuning; the one with the same seed and schedule counts.
    """
    found = [_result(folder, None, spec) for folder in baselines]
    same = [folder for folder in plain if folder.parts[-2:] == choice.run.parts[-2:]]
    for folder in same:
        if folder != choice.run:
            found.append(_result(folder, chosen_step(folder)[0], spec))
    return [*found, _result(choice.run, choice.step, spec)]


def _result(folder: Path, step: int | None, spec: ExportSpec) -> Result:
    accuracy, judged = pd.read_csv(folder / "accuracy.csv"), pd.read_parquet(folder / "judged.parquet")
    if step is not None:
        accuracy, judged = accuracy[accuracy["step"] == step], judged[judged["step"] == step]
    row = accuracy.iloc[0]
    name = row["condition"] if step is not None else row["teacher"]
    label = (spec.labels if step is not None else spec.prompts).get(name, name)
    right = judged.set_index("question_index")["correct"].astype(bool).sort_index()
    shares = (float(row[key]) for key in ("accuracy", "low", "high"))
    return Result(label, step, int(row["correct"]), int(row["n"]), *shares, right)


def difference(mine: Result, other: Result, confidence: float) -> dict[str, float] | None:
    """Return how much more often one is right than the other on the same questions; None where they had others."""
    if not mine.right.index.equals(other.right.index):
        return None
    found = paired_difference(mine.right.to_numpy(), other.right.to_numpy())
    low, high = found.interval(confidence)
    return {"difference": float(found.value), "low": float(low), "high": float(high), "p_value": float(found.p_value())}
