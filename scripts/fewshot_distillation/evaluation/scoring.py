"""Accuracy of generated answers, on the CPU and without the model."""

import json
from pathlib import Path

import pandas as pd

from ..analysis.statistics import proportion_interval
from ..config.specs import ScoreSpec
from ..data.rows import Row, read_jsonl
from ..errors import JobError
from ..runtime.files import atomic_path
from ..tasks import task_of


def judge(predictions: pd.DataFrame, test: list[Row], task_name: str, scorers: list[str]) -> pd.DataFrame:
    """Score every answer by each scorer: one row an answer, with what was read (`<scorer>_answer`) and whether it is
    right (`<scorer>`). An answer is unparsed if no scorer finds anything in it. `asked` begins the prompt's digest.

    Raises:
        JobError: the answers belong to other questions.
    """
    for index, question in zip(predictions["question_index"], predictions["question"], strict=True):
        if index >= len(test) or test[index]["question"] != question:
            raise JobError(f"prediction for test question {index} belongs to another dataset: {question[:80]!r}")
    rows = [test[index] for index in predictions["question_index"]]
    task = task_of(task_name)
    read, right = {}, {}
    for name in scorers:
        rule = task.scorers[name].rule()
        equal = rule.equal or (lambda found, row: task.equal(found, row["reference"]))
        found = [rule.read(text) for text in predictions["text"]]
        read[f"{name}_answer"] = found
        right[name] = [one is not None and equal(one, row) for one, row in zip(found, rows, strict=True)]
    asked = {"asked": predictions["prompt_digest"].str[:16]} if "prompt_digest" in predictions else {}
    return pd.DataFrame(
        {
            "question_index": predictions["question_index"],
            "shots": predictions["shots"],
            "step": predictions["step"],
            "reference": [row["reference"] for row in rows],
            **read,
            **right,
            "unparsed": [all(one is None for one in found) for found in zip(*read.values(), strict=True)],
            "truncated": predictions["finish_reason"] == "length",
            "tokens": predictions["tokens"],
            **asked,
        }
    )


def summarise(judged: pd.DataFrame, spec: ScoreSpec) -> pd.DataFrame:
    """Summarise each step and number of shots in a row: counts, rates, and the interval of the chosen metric."""
    rows = []
    for (step, shots), part in judged.groupby(["step", "shots"], sort=True):
        n, correct = len(part), int(part[spec.metric].sum())
        low, high = proportion_interval(correct, n, spec.confidence)
        rows.append(
            {
                **spec.identity,
                "step": step,
                "shots": shots,
                "n": n,
                "correct": correct,
                "accuracy": correct / n,
                "low": low,
                "high": high,
                **{name: part[name].mean() for name in spec.scorers},
                "unparsed": part["unparsed"].mean(),
                "truncated": part["truncated"].mean(),
                "mean_tokens": part["tokens"].mean(),
            }
        )
    return pd.DataFrame(rows)


def score(spec: ScoreSpec, predictions: Path, test_path: Path, accuracy: Path, judged_path: Path) -> None:
    """Write accuracy.csv and, question by question, judged.parquet with the run's identity in every row."""
    judged = judge(pd.read_parquet(predictions), read_jsonl(test_path), spec.task, spec.scorers)
    table = summarise(judged, spec)
    with atomic_path(judged_path) as temporary:
        judged.assign(correct=judged[spec.metric], **spec.identity).to_parquet(temporary, index=False)
    with atomic_path(accuracy) as temporary:
        table.to_csv(temporary, index=False)
    print(table.to_string(index=False))


# Columns of accuracy.csv that a phase 0 summary names otherwise, or not at all.
LEFT_OUT = ("model", "condition", "step", "mean_tokens")


def summarise_icl_gap(
    accuracy: pd.DataFrame, judged: pd.DataFrame, parameters: dict[str, int], min_gap: float, min_floor: float
) -> dict:
    """Compute the gap of each candidate of phase 0, and the recommended model.

    `from_cut` is the part of a gap that comes from questions of which the answer with the fewest or with the most shots
    was cut at the length limit. The recommended model is the smallest whose gap, most shots minus fewest, is at least
    `min_gap` and whose accuracy with the fewest shots is at least `min_floor`.
    """
    models = {}
    for model, part in accuracy.sort_values("shots").groupby("model", sort=False):
        few, many = part.iloc[0], part.iloc[-1]
        # Rounded, so that 6 of 20 against 5 of 20 is a gap of 0.05 and not a hair less.
        gap = round(many["accuracy"] - few["accuracy"], 9)
        models[model] = {
            "parameters": parameters[model],
            "accuracy": json.loads(part.drop(columns=[*LEFT_OUT], errors="ignore").to_json(orient="records")),
            "gap": gap,
            "from_cut": _from_cut(judged[judged["model"] == model]),
            "gap_ok": bool(gap >= min_gap),
            "floor_ok": bool(few["accuracy"] >= min_floor),
        }
    fit = [name for name, entry in models.items() if entry["gap_ok"] and entry["floor_ok"]]
    return {"models": models, "recommended": min(fit, key=parameters.get) if fit else None}


def _from_cut(judged: pd.DataFrame) -> float:
    """The part of a gap that comes from questions of which an answer was cut."""
    by_shots = {shots: part.set_index("question_index") for shots, part in judged.groupby("shots")}
    few, many = by_shots[min(by_shots)], by_shots[max(by_shots)]
    cut = few["truncated"] | many["truncated"].reindex(few.index)
    difference = many["correct"].reindex(few.index).astype(int) - few["correct"].astype(int)
    return float((difference * cut).mean())
