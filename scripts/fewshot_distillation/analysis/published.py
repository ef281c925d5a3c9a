"""Published accuracies beside the measured ones, result by result."""

import pandas as pd

from ..config.catalogue import BASE
from .collect import RESULT, names
from .statistics import independent_difference

COLUMNS = ["table", "label", *RESULT, "step", "last_step", "seed", "published", "published_high", "published_n"]
COLUMNS += ["measured", "measured_high", "low", "high", "n", "difference", "difference_low", "difference_high", "note"]


def published_vs_measured(
    published: pd.DataFrame, measured: pd.DataFrame, labels: dict[str, str], dataset: str, confidence: float
) -> pd.DataFrame:
    """One row for each published accuracy, and for each seed with which it was measured.

    Args:
        published: as `read_published` gives it.
        measured: rows of accuracy.csv and of phase 0, in one table.
        labels: condition names as readers see them.
        dataset: name of the dataset that was measured on.
        confidence: coverage of the intervals.

    Returns:
        Columns `COLUMNS`. A published range has `published` and `published_high`, and the lowest and highest accuracy
        measured in its steps; a difference has no value there, nor between two datasets. `note` says what keeps a row
        from being compared, or weakens the comparison.
    """
    groups = measured.assign(name=names(measured)).groupby("name", sort=False) if len(measured) else ()
    parts = dict(list(groups))
    rows = []
    for row, name in zip(published.to_dict("records"), names(published), strict=True):
        untrained = f"{row['shots']}-shot"
        label = untrained if row["condition"] == BASE else labels.get(row["condition"], row["condition"])
        steps = {key: row[key] for key in (*RESULT, "step", "last_step")}
        ours = {"table": row["table"], "label": label, **steps, "published": row["low"], "published_n": row["n"]}
        if row["high"] > row["low"]:
            ours["published_high"] = row["high"]
        found = parts.get(name, measured.iloc[:0])
        found = found[found["step"].between(row["step"], row["last_step"])]
        if found.empty:
            rows.append(ours | {"note": "not measured yet"})
        for _, part in found.groupby("seed", dropna=False):
            rows.append(ours | _beside(row, part, dataset, confidence))
    return pd.DataFrame(rows, columns=COLUMNS)


def _beside(row: dict, part: pd.DataFrame, dataset: str, confidence: float) -> dict:
    """What was measured for one published row with one seed: one checkpoint, or several for a range of steps."""
    first = part.iloc[0]
    found = {"seed": first["seed"], "measured": part["accuracy"].min(), "n": first["n"]}
    notes = []
    if dataset != row["dataset"]:
        notes.append(f"other questions: published on {row['dataset']}, measured on {dataset}")
    elif first["n"] != row["n"]:
        notes.append(f"other questions: published on {row['n']}, measured on {first['n']}")
    if row["step"] != row["last_step"]:
        found["measured_high"] = part["accuracy"].max()
        notes.append(f"{len(part)} checkpoint{'s' if len(part) > 1 else ''} measured in this range")
    else:
        found |= {"low": first["low"], "high": first["high"]}
        if dataset == row["dataset"] and row["correct"] == row["correct"]:  # no number of right answers is NaN
            theirs = (int(row["correct"]), row["n"])
            found |= independent_difference((int(first["correct"]), int(first["n"])), theirs, confidence)
    return found | {"note": "; ".join(notes)}


def other_differences(published: pd.DataFrame) -> dict[str, int]:
    """How many differences are printed, how many of them aren't those of the printed accuracies, and how far off the
    farthest is, in units of the last printed decimal: rounding alone makes one."""
    printed = published[published["printed_difference"].notna()]
    off = (printed["printed_difference"] - printed["difference"]).astype(float).abs()
    units = (off * 10.0 ** printed["decimals"]).round().astype(int)
    return {"printed": len(printed), "other": int((units > 0).sum()), "largest": int(units.max()) if len(units) else 0}
