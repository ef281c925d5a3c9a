"""The tables of conditions and of comparisons in analysis.md."""

from collections.abc import Iterable
from typing import Any

from ..config.catalogue import BASE
from .text import bounds, interval, percent, points, signed, table
from .wording import ONE_SEED

Row = dict[str, Any]

ONE_SEED_EACH = "Each compares two models of one seed, and does not account for variation between seeds."


def conditions_table(rows: list[Row], compared: list[Row], plain_label: str | None) -> str:
    """Write the accuracies of one model with their verdicts, seeds pooled.

    Args:
        rows: those of the model in the main comparison, escaped.
        compared: its comparisons, escaped.
        plain_label: of plain fine-tuning.
    """
    seeds = any(row["seeds"] > 1 for row in rows)
    header = ["condition", *(["seeds"] if seeds else []), "λ", "right", "accuracy", "interval"]
    header += [f"against {plain_label or 'plain fine-tuning'}, points", "against the few-shot prompt, points"]
    own = {row["label"]: [one for one in compared if one["label"] == row["label"]] for row in rows}
    lines = [_row(row, own[row["label"]], seeds, plain_label) for row in rows]
    return table([*header, "verdict"], lines, right=range(1, len(header)))


def _row(row: Row, compared: list[Row], seeds: bool, plain_label: str | None) -> list[str]:
    base = row["condition"] == BASE
    cells = [row["label"], *(["" if base else f"{row['seeds']}"] if seeds else [])]
    cells += [f"{row['lambda']:g}" if row["lambda"] else ""]
    cells += [f"{row['correct']} of {row['answers']}", percent(row["accuracy"]), interval(row["low"], row["high"])]
    verdicts = []
    for one in () if base else compared:
        verdicts.append(one["verdict"] + ("" if one["against"] == plain_label else f" ({one['against']})"))
    return [*cells, _difference(row, "vs_plain"), _difference(row, "vs_fewshot"), "; ".join(verdicts)]


def _difference(row: Row, name: str) -> str:
    if row[f"{name}_difference"] is None:
        return ""
    return f"{signed(row[f'{name}_difference'])} ({bounds(row[f'{name}_low'], row[f'{name}_high'])})"


def reading_table(rows: list[Row], scorers: Iterable[str]) -> str:
    """Write how a model's answers were read: right by each scorer, cut at the length limit, without an answer."""
    header = ["condition", *(f"right by `{name}`" for name in scorers), "cut at the limit", "no answer found"]
    lines = [[row["label"], *(percent(row[key]) for key in (*scorers, "truncated", "unparsed"))] for row in rows]
    return table(header, lines, right=range(1, len(header)))


def comparisons_table(rows: list[Row]) -> str:
    """Write the comparisons of one model with their verdicts, and a sentence for each; empty without any."""
    if not rows:
        return ""
    header = ["comparison", "family", "difference", "interval", "p, uncorrected", "p, corrected", "verdict"]
    lines = []
    for row in rows:
        p = [f"{row['p']:.2g}", f"{row['p_corrected']:.2g}"]
        name = f"{row['label']} against {row['against']}"
        lines.append(
            [name, row["family"], points(row["difference"]), bounds(row["low"], row["high"]), *p, row["verdict"]]
        )
    texts = [row["text"] for row in rows]
    once = len(rows) > 1 and all(text.endswith(ONE_SEED) for text in texts)
    if once:
        texts = [text.removesuffix(ONE_SEED).rstrip() for text in texts]
    told = zip(rows, texts, strict=True)
    sentences = [f"- **{row['label']} against {row['against']}**: {text}" for row, text in told]
    parts = [table(header, lines, right=range(2, 6)), "\n".join(sentences)]
    return "\n\n".join([*parts, ONE_SEED_EACH] if once else parts)
