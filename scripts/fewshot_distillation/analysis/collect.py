"""Reading what runs left behind. Every table describes itself, so reading is putting tables one below the other."""

from pathlib import Path

import pandas as pd

from ..config.published import load_published
from ..config.runs import RUN

# What names a result, but for its step: a published row may cover several steps.
RESULT = ["model", "condition", "lambda", "schedule", "phase", "shots"]


def read_accuracy(paths: list[str | Path]) -> pd.DataFrame:
    """Read the rows of several accuracy.csv; columns that only training runs have are empty for base models."""
    if not paths:
        return pd.DataFrame(columns=[*RUN, "teacher", "phase", "shots", "step", "split"])
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    for column in (*RUN, "teacher", "phase"):
        if column not in table:
            table[column] = None
    return table.assign(split=table["split"].fillna("test") if "split" in table else "test")


def read_metrics(paths: list[str | Path]) -> pd.DataFrame:
    """Read the rows of several metrics.csv, with model, condition, λ, seed and schedule from their folders."""
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
    """Read question by question: was the answer right? One row for each question, step and run."""
    columns = [*RUN, "teacher", "shots", "step", "split", "question_index", "correct", "truncated"]
    parts = [pd.read_parquet(path).reindex(columns=columns) for path in paths]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def read_published(path: str | Path) -> pd.DataFrame:
    """Read published accuracies as shares; a range goes from `low` to `high`, over `step` to `last_step`.

    `correct` is the number of right answers in a printed accuracy; a range has none. `printed_difference`
    is in points, and so is `difference`, that of the two printed accuracies.
    """
    published = load_published(Path(path))
    rows = []
    for name, table, row in published.rows():
        other = published.counterpart(name, row)
        low, high = (percent / 100 for percent in row.percent)
        single = row.step[0] == row.step[1] and low == high
        rows.append(
            {
                "table": name,
                "title": table.title,
                "dataset": published.dataset,
                "model": row.model,
                "condition": row.condition,
                "lambda": row.lam,
                "schedule": row.schedule,
                "phase": row.phase,
                "shots": row.shots,
                "step": row.step[0],
                "last_step": row.step[1],
                "n": table.n,
                "correct": (row.correct if row.correct is not None else round(low * table.n)) if single else None,
                "low": low,
                "high": high,
                "decimals": table.decimals,
                "printed_difference": row.difference,
                "caution": row.caution,
                "difference": row.percent[0] - other.percent[0] if single and other else None,
            }
        )
    return pd.DataFrame(rows)


def names(table: pd.DataFrame) -> list[tuple]:
    """Return the name of each row's result, with None where it has no λ, schedule or phase."""
    return [tuple(None if pd.isna(v) else v for v in row) for row in table[RESULT].itertuples(index=False)]


def published_of(published: pd.DataFrame | None, measured: pd.DataFrame) -> pd.DataFrame:
    """Return published rows of the results that a table of measured ones holds, whatever their step."""
    if published is None:
        return pd.DataFrame(columns=[*RESULT, "step", "last_step", "n", "low", "high"])
    shown = set(names(measured))
    found = published[[name in shown for name in names(published)]]
    # What two tables of the study hold alike is one published result.
    return found.drop_duplicates([*RESULT, "step", "last_step", "n", "low", "high"])


def last_step(table: pd.DataFrame) -> pd.DataFrame:
    """Select the last checkpoint of each run."""
    keys = ["model", "condition", "lambda", "seed", "schedule"]
    return table[table["step"] == table.groupby(keys, dropna=False)["step"].transform("max")]
