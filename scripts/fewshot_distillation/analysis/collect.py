"""Reading what runs left behind. Every table describes itself, so reading is putting tables one below the other."""

from pathlib import Path

import pandas as pd


def read_accuracy(paths: list[str | Path]) -> pd.DataFrame:
    """Rows of several accuracy.csv; columns that only training runs have are empty for untrained models."""
    if not paths:
        return pd.DataFrame(columns=["model", "condition"])
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    for column in ("lambda", "seed", "schedule", "phase"):
        if column not in table:
            table[column] = None
    return table


def read_metrics(paths: list[str | Path]) -> pd.DataFrame:
    """Rows of several metrics.csv, with model, condition, λ, seed and schedule from the folders they lie in."""
    parts = []
    for path in paths:
        model, condition, lam, seed, schedule = Path(path).parts[-6:-1]
        parts.append(
            pd.read_csv(path).assign(
                model=model,
                condition=condition,
                schedule=schedule,
                seed=int(seed.removeprefix("seed")),
                **{"lambda": float(lam.removeprefix("lambda"))},
            )
        )
    return pd.concat(parts, ignore_index=True)


def read_judged(paths: list[str | Path]) -> pd.DataFrame:
    """Question by question: was the answer right? One row for each question, step and run."""
    columns = ["model", "condition", "lambda", "seed", "schedule", "step", "shots", "question_index", "correct"]
    parts = [pd.read_parquet(path).reindex(columns=columns) for path in paths]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def last_step(table: pd.DataFrame) -> pd.DataFrame:
    """Only the last checkpoint of each run."""
    keys = ["model", "condition", "lambda", "seed", "schedule"]
    return table[table["step"] == table.groupby(keys, dropna=False)["step"].transform("max")]
