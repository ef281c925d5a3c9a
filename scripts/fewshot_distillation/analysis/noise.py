"""The noise of generation: the same evaluation twice, with another inference backend or in other batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config.specs import AggregateSpec
from .comparison import Answers, difference
from .text import bounds, percent, points, table

Row = dict[str, Any]

COLUMNS = ["model", "label", "rerun", "n", "accuracy", "rerun_accuracy", "read_otherwise", "only_first", "only_rerun"]
COLUMNS += ["difference", "low", "high"]


def noise_floor(spec: AggregateSpec, reruns: list[Path], baselines: list[Path]) -> pd.DataFrame:
    """Return a row for each evaluation that was repeated.

    Args:
        reruns: judged.parquet of each.
        baselines: judged.parquet of the base model's prompts.

    Returns:
        `read_otherwise` is the share of questions from whose answers the metric reads something else, `only_first` and
        `only_rerun` count questions that are right in one of the two, and the difference is the rerun's accuracy minus
        the first one's.
    """
    first = {_name(answers): answers for answers in map(_read, baselines)}
    rows = []
    for again in map(_read, reruns):
        before = first[_name(again)].reindex(again.index)
        read = f"{spec.metric}_answer"
        same = (before[read] == again[read]) | (before[read].isna() & again[read].isna())
        right, right_again = before["correct"].to_numpy(bool), again["correct"].to_numpy(bool)
        found = difference(Answers(right_again[None], False), Answers(right[None], False))
        low, high = found.interval(spec.confidence)
        model, prompt = _name(again)
        row = {"model": model, "label": spec.prompts.get(prompt, prompt), "rerun": again["rerun"].iloc[0]}
        row |= {"n": len(again), "accuracy": right.mean(), "rerun_accuracy": right_again.mean()}
        row |= {"read_otherwise": float((~same).mean())}
        row |= {"only_first": int(np.sum(right & ~right_again)), "only_rerun": int(np.sum(~right & right_again))}
        rows.append(row | {"difference": float(found.value), "low": float(low), "high": float(high)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("question_index").sort_index()


def _name(answers: pd.DataFrame) -> tuple[str, str]:
    return answers["model"].iloc[0], answers["teacher"].iloc[0]


def noise_section(rows: list[Row]) -> str:
    """Write the section of analysis.md; empty without reruns. `rows` are escaped."""
    if not rows:
        return ""
    header = ["model", "prompt", "rerun", "accuracy", "again", "read otherwise", "right in one only", "difference"]
    lines = [
        [row["model"], row["label"], row["rerun"], percent(row["accuracy"]), percent(row["rerun_accuracy"])]
        + [percent(row["read_otherwise"]), f"{row['only_first']} and {row['only_rerun']} of {row['n']}"]
        + [f"{points(row['difference'])} ({bounds(row['low'], row['high'])})"]
        for row in rows
    ]
    return (
        "## Noise of generation\n\nGreedy answers depend a little on the inference backend and on what else is in the "
        "batch. These evaluations were made twice with the same weights and prompts; a difference between conditions "
        f"that is no larger may be such noise.\n\n{table(header, lines, right=range(3, len(header)))}"
    )
