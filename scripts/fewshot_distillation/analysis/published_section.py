"""The part of analysis.md that puts measured accuracies beside the published ones."""

from typing import Any

Row = dict[str, Any]


def published_section(published: dict[str, Any], metric: str, confidence: float) -> str:
    """The study's tables in its own order, each with what was measured by `metric`; `published` is that part of the
    summary."""
    rows, tables = published["rows"], published["tables"]
    measured = sum(row["measured"] is not None for row in rows)
    parts = [
        "## Published and measured",
        f"{measured} of these {len(rows)} rows are measured so far. A difference is measured minus published, with "
        f"Newcombe's {100 * confidence:g} % interval for two independent samples, because the published answers aren't "
        "known question by question.",
        _other_metric(published["metric"], metric),
        _contradictions(rows, tables, published["differences"]),
    ]
    for name, table in tables.items():
        mine = [row for row in rows if row["table"] == name]
        parts.append("\n".join([f"### {table['title']}", "", *_table(mine, table["decimals"])]))
    return "\n\n".join(part for part in parts if part)


def _other_metric(theirs: str, ours: str) -> str:
    if theirs == ours:
        return ""
    return f"**The published answers were scored with the metric `{theirs}`, those measured here with `{ours}`.**"


def _contradictions(rows: list[Row], tables: dict[str, dict], differences: dict[str, int]) -> str:
    """Where the study disagrees with itself, in one sentence."""
    results: dict[str, dict[str, str]] = {}
    for row in rows:
        result = _result(row, seeds=False) + (f", {row['phase']}" if row["phase"] else "")
        results.setdefault(result, {})[row["table"]] = _published(row, tables[row["table"]]["decimals"])
    found = [
        f"{result} is " + " and ".join(f"{share} in “{tables[name]['title']}”" for name, share in printed.items())
        for result, printed in results.items()
        if len(set(printed.values())) > 1
    ]
    if differences["other"]:
        found.append(
            f"{differences['other']} of {differences['printed']} printed differences aren't those of the accuracies "
            f"printed beside them, by at most {differences['largest']} in the last decimal"
        )
    return f"The study disagrees with itself, and every number is kept as printed: {'; '.join(found)}." if found else ""


def _table(rows: list[Row], decimals: int) -> list[str]:
    seeds = len({row["seed"] for row in rows if row["seed"] is not None}) > 1
    lines = ["| result | published | measured | difference |", "| --- | --- | --- | --- |"]
    for row in rows:
        published = f"{_published(row, decimals)} of {row['published_n']}"
        lines.append(f"| {_result(row, seeds)} | {published} | {_measured(row)} | {_difference(row)} |")
    return lines


def _result(row: Row, seeds: bool) -> str:
    words = [row["model"], row["label"]]
    if row["schedule"] is not None:
        words.append(f"λ = {row['lambda']:g}, {row['schedule']}")
        one = row["step"] == row["last_step"]
        words.append(f"step {row['step']}" if one else f"steps {row['step']} to {row['last_step']}")
    if seeds and row["seed"] is not None:
        words.append(f"seed {row['seed']:.0f}")
    return ", ".join(words)


def _published(row: Row, decimals: int) -> str:
    if row["published_high"] is not None:
        return f"{100 * row['published']:g} to {100 * row['published_high']:g} %"
    return f"{100 * row['published']:.{decimals}f} %"


def _measured(row: Row) -> str:
    if row["measured"] is None:
        return row["note"]
    share = f"{100 * row['measured']:.1f}"
    if row["measured_high"] is not None:
        share += f" to {100 * row['measured_high']:.1f}"
    text = f"{share} % of {row['n']:.0f}"
    if row["low"] is not None:
        text += f" ({100 * row['low']:.1f} to {100 * row['high']:.1f} %)"
    return text + (f"; **{row['note']}**" if row["note"] else "")


def _difference(row: Row) -> str:
    if row["difference"] is None:
        return ""
    values = (f"{100 * row[key]:+.1f}" for key in ("difference", "difference_low", "difference_high"))
    return "{} points ({} to {})".format(*values)
