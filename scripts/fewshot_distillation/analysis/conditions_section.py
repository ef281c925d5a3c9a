"""The table of conditions in analysis.md: accuracy, interval, difference and verdict of every run that counts."""

from typing import Any

from ..config.catalogue import BASE
from .text import interval, percent, points, table

Row = dict[str, Any]


def conditions_table(rows: list[Row], plain_label: str | None) -> str:
    """The table of one model; `rows` are those of its main comparison, escaped."""
    seeds = len({row["seed"] for row in rows if row["condition"] != BASE}) > 1
    plain = plain_label or "plain fine-tuning"
    header = ["condition", *(["seed"] if seeds else []), "λ", "right", "accuracy", "interval", f"against {plain}"]
    header += ["interval", "p, corrected", "verdict"]
    numbers = range(1, len(header) - 1)
    return table(header, [_row(row, seeds, plain) for row in rows], right=numbers)


def _row(row: Row, seeds: bool, plain: str) -> list[str]:
    trained = row["condition"] != BASE
    cells = [row["label"]]
    if seeds:
        cells.append(f"{row['seed']:.0f}" if trained else "")
    cells += [f"{row['lambda']:g}" if row["lambda"] else ""]
    cells += [f"{row['correct']} of {row['n']}", percent(row["accuracy"]), interval(row["low"], row["high"])]
    if row["vs_plain_difference"] is None:
        return [*cells, "", "", "", "the reference" if trained and row["label"] == plain else ""]
    p = row["vs_plain_p_holm"]
    bounds = f"{100 * row['vs_plain_low']:+.1f} to {100 * row['vs_plain_high']:+.1f}"
    return [*cells, points(row["vs_plain_difference"]), bounds, f"{p:.2g}", _verdict(row)]


def _verdict(row: Row) -> str:
    if row["vs_plain_p_holm"] >= 0.05:
        return "can't be told apart"
    return "better" if row["vs_plain_difference"] > 0 else "worse"
