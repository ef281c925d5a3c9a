"""The noise of generation: the same evaluation twice, with another inference backend or in other batches."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config.specs import AggregateSpec
from .comparison import Answers, difference
from .text import bounds, percent, points, table

log = logging.getLogger("fewshot_distillation")

Row = dict[str, Any]

COLUMNS = ["model", "label", "rerun", "n", "accuracy", "rerun_accuracy", "read_otherwise", "only_first", "only_rerun"]
COLUMNS += ["difference", "low", "high", "other_prompts"]


def noise_floor(spec: AggregateSpec, reruns: list[Path], baselines: list[Path]) -> pd.DataFrame:
    """Return a row for each evaluation that was repeated.

    Args:
        reruns: judged.parquet of each.
        baselines: judged.parquet of the base model's prompts.

    Returns:
        `read_otherwise` is the share of questions from whose answers the metric reads something else, `only_first` and
        `only_rerun` count questions that are right in one of the two, and the difference is the rerun's accuracy minus
        the first one's. Where `other_prompts`, the number of questions that were asked in other words, isn't 0, the two
        are not compared.
    """
    first = {_name(answers): answers for answers in map(_read, baselines)}
    rows = []
    for again in map(_read, reruns):
        before = first[_name(again)].reindex(again.index)
        model, prompt = _name(again)
        row = {"model": model, "label": spec.prompts.get(prompt, prompt), "rerun": again["rerun"].iloc[0]}
        row |= {"n": len(again), "other_prompts": _other_prompts(before, again)}
        if row["other_prompts"]:
            # Another prompt may be answered otherwise, which is no noise.
            log.warning("rerun %s of %s: %s", row["rerun"], row["label"], _left_out(row))
            rows.append(row)
            continue
        read = f"{spec.metric}_answer"
        same = (before[read] == again[read]) | (before[read].isna() & again[read].isna())
        right, right_again = before["correct"].to_numpy(bool), again["correct"].to_numpy(bool)
        found = difference(Answers(right_again[None], False), Answers(right[None], False))
        low, high = found.interval(spec.confidence)
        row |= {"accuracy": right.mean(), "rerun_accuracy": right_again.mean()}
        row |= {"read_otherwise": float((~same).mean())}
        row |= {"only_first": int(np.sum(right & ~right_again)), "only_rerun": int(np.sum(~right & right_again))}
        rows.append(row | {"difference": float(found.value), "low": float(low), "high": float(high)})
    return pd.DataFrame(rows, columns=COLUMNS)


def _read(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path).set_index("question_index").sort_index()


def _name(answers: pd.DataFrame) -> tuple[str, str]:
    return answers["model"].iloc[0], answers["teacher"].iloc[0]


def _other_prompts(before: pd.DataFrame, again: pd.DataFrame) -> int:
    """Count questions whose prompts differ; answers that were scored by an older version don't say what was asked."""
    if "asked" not in before or "asked" not in again:
        return 0
    return int((before["asked"] != again["asked"]).sum())


def _left_out(row: Row) -> str:
    return (
        f"{row['other_prompts']} of {row['n']} questions were asked in other words than the first time, so the two "
        "are not compared; remove the older answers, and the next run makes them again"
    )


def noise_section(rows: list[Row]) -> str:
    """Write the section of analysis.md; empty without reruns. `rows` are escaped."""
    if not rows:
        return ""
    header = ["model", "prompt", "rerun", "accuracy", "again", "read otherwise", "right in one only", "difference"]
    alike = [row for row in rows if not row.get("other_prompts")]
    lines = [
        [row["model"], row["label"], row["rerun"], percent(row["accuracy"]), percent(row["rerun_accuracy"])]
        + [percent(row["read_otherwise"]), f"{row['only_first']:.0f} and {row['only_rerun']:.0f} of {row['n']}"]
        + [f"{points(row['difference'])} ({bounds(row['low'], row['high'])})"]
        for row in alike
    ]
    left_out = [
        f"**{row['rerun']} of {row['model']}, {row['label']}**: {_left_out(row)}."
        for row in rows
        if row.get("other_prompts")
    ]
    return "\n\n".join([_repeated(header, lines), *left_out] if alike else ["## Noise of generation", *left_out])


def _repeated(header: list[str], lines: list[list[str]]) -> str:
    return (
        "## Noise of generation\n\nGreedy answers depend a little on the inference backend and on what else is in the "
        "batch. These evaluations were made twice with the same weights and prompts; a difference between conditions "
        f"that is no larger may be such noise.\n\n{table(header, lines, right=range(3, len(header)))}"
    )
