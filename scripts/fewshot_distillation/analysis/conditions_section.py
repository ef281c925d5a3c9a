"""The tables of conditions and of comparisons in analysis.md."""

from collections.abc import Iterable
from typing import Any

from ..config.catalogue import BASE
from .text import interval, percent, points, table

Row = dict[str, Any]


def conditions_table(rows: list[Row], scorers: Iterable[str], plain_label: str | None) -> str:
    """Accuracies of one model, seeds pooled; `rows` are those of its main comparison, escaped."""
    seeds = any(row["seeds"] > 1 for row in rows)
    plain = plain_label or "plain fine-tuning"
    header = ["condition", *(["seeds"] if seeds else []), "λ", "right", "accuracy", "interval"]
    header += [*scorers, "cut", "no answer", f"against {plain}", "against the few-shot prompt"]
    return table(header, [_row(row, scorers, seeds) for row in rows], right=range(1, len(header)))


def _row(row: Row, scorers: Iterable[str], seeds: bool) -> list[str]:
    cells = [row["label"]]
    if seeds:
        cells.append(f"{row['seeds']}" if row["condition"] != BASE else "")
    cells += [f"{row['lambda']:g}" if row["lambda"] else ""]
    cells += [f"{row['correct']} of {row['answers']}", percent(row["accuracy"]), interval(row["low"], row["high"])]
    cells += [percent(row[name]) for name in (*scorers, "truncated", "unparsed")]
    return [*cells, _difference(row, "vs_plain"), _difference(row, "vs_fewshot")]


def _difference(row: Row, name: str) -> str:
    if row[f"{name}_difference"] is None:
        return ""
    bounds = f"{100 * row[f'{name}_low']:+.1f} to {100 * row[f'{name}_high']:+.1f}"
    return f"{points(row[f'{name}_difference'])} ({bounds})"


def comparisons_table(rows: list[Row]) -> str:
    """Comparisons of one model with their verdicts, and a sentence for each; empty without any."""
    if not rows:
        return ""
    header = ["comparison", "family", "difference", "interval", "p", "p, corrected", "verdict"]
    lines = []
    for row in rows:
        bounds = f"{100 * row['low']:+.1f} to {100 * row['high']:+.1f}"
        p = [f"{row['p']:.2g}", f"{row['p_corrected']:.2g}"]
        name = f"{row['label']} against {row['against']}"
        lines.append([name, row["family"], points(row["difference"]), bounds, *p, row["verdict"]])
    sentences = [f"- **{row['label']} against {row['against']}**: {row['text']}" for row in rows]
    return "\n\n".join([table(header, lines, right=range(2, 6)), "\n".join(sentences)])
