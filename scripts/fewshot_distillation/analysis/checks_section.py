"""The section of analysis.md about what might make its numbers doubtful."""

from typing import Any

from ..config.catalogue import BASE
from .conditions_section import reading_table
from .text import code

Row = dict[str, Any]

# A share of answers that were cut or hold no number, above which an accuracy is doubtful.
DOUBTFUL = 0.05


def checks_section(summary: dict[str, Any], jobs: list[str]) -> str:
    """Write points, and how each model's answers were read; `jobs` are points about jobs, `summary` is escaped."""
    points = [*_data(summary), *jobs]
    rows = summary["main_comparison"]
    tables = []
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        parts = [f"### {model}", reading_table(mine, summary["scorers"])]
        doubtful = [row["label"] for row in mine if _doubtful(row)]
        if doubtful:
            parts.append(
                f"**More than {100 * DOUBTFUL:g} % of the outputs were cut or contain no answer** for "
                f"{', '.join(doubtful)}: these accuracies are doubtful."
            )
        parts.append(_checkpoints([row for row in summary["checkpoint_curve"] if row["model"] == model]))
        tables += parts
    return "\n\n".join(part for part in ["## Checks", "\n".join(points), *tables] if part)


def _data(summary: dict[str, Any]) -> list[str]:
    lines = []
    for split, skipped in summary.get("skipped_rows", {}).items():
        if skipped["rows"]:
            lines.append(
                f"- **{skipped['rows']} of {skipped['of']} rows of the {split} split were skipped**, the first "
                f"because of: {code(skipped['first'][0])}"
            )
    for pair in summary.get("not_compared", []):
        lines.append(
            f"- **{pair['label']} and {pair['against']} (`comparisons.{pair['family']}`) were not compared**: no model "
            "has results of both, trained with the same schedule, recipe and number of examples. Build the studies "
            "that train them, or take out the comparison."
        )
    for path, note in summary["notes"].items():
        if path.endswith("meta.json"):
            tokens = note["prompt_tokens"]
            lines.append(
                f"- Teacher prompts in {code(path)}: {tokens['mean']:.0f} tokens on average, {tokens['max']} at most, "
                f"{note['truncated']} truncated."
            )
            continue
        if note.get("dropped"):
            lines.append(
                f"- {code(path)}: {note['dropped']} of the answers that a teacher wrote are wrong and were left out; "
                f"{note['examples']} were learned from."
            )
        if note["truncated"]:
            lines.append(f"- **{code(path)}: {note['truncated']} of {note['examples']} training answers were cut.**")
    return lines


def _doubtful(row: Row) -> bool:
    return row["unparsed"] + row["truncated"] > DOUBTFUL


def _checkpoints(rows: list[Row]) -> str:
    """How many checkpoints, those of the table included, have doubtful answers."""
    doubtful = [row for row in rows if row["condition"] != BASE and _doubtful(row)]
    if not doubtful:
        return ""
    worst = max(doubtful, key=lambda row: row["unparsed"] + row["truncated"])
    return (
        f"This is so for {len(doubtful)} of all {len(rows)} checkpoints (`tables/checkpoint_curve.csv`), and the "
        f"share is highest for {worst['label']}, {worst['schedule']}, λ = {worst['lambda']:g}, step {worst['step']}."
    )
