"""The part of analysis.md that puts measured accuracies beside the published ones."""

from typing import Any

from .protocols import SAME
from .text import bounds, code, points, table

Row = dict[str, Any]


def published_section(published: dict[str, Any], confidence: float) -> str:
    """The study's tables in its own order, each with what was measured; `published` is that part of the summary.

    Rows with another protocol come last, with the points that differ, and without a difference.
    """
    rows, tables = published["rows"], published["tables"]
    mine = [row for row in rows if row["protocol"]]
    measured = [row for row in mine if row["measured"] is not None]
    same = sum(row["protocol"] == SAME for row in measured)
    parts = [
        "## Published and measured",
        _whose(published["source"]),
        f"{len(mine)} of {len(rows)} rows are part of this study, and {len(measured)} of them are measured so far. For "
        f"{same} of these the protocol is the same as the published one in every point of `published.yaml`: objective, "
        "schedule, recipe, model, precision, prompt, thinking, length limit, scorer, questions, seeds, evaluation set, "
        "checkpoint. There "
        f"alone a difference is given. It is measured minus published, with Newcombe's {100 * confidence:g} % interval "
        "for two independent samples, because the published answers aren't known question by question; `in agreement` "
        "says that the interval holds zero, `off` that it doesn't. Neither accounts for variation between seeds.",
        _listed("Otherwise in any case, and no point of that comparison:", published["remaining"]),
        _contradictions(rows, tables, published["differences"]),
    ]
    for name, about in tables.items():
        if own := [row for row in mine if row["table"] == name]:
            parts += [f"### {about['title']}", about["caution"] or "", *_table(own, about["decimals"])]
    left_out = [f"{what}: {why}" for what, why in published["left_out"].items()]
    parts += [_others(tables, {row["table"] for row in mine}), _listed("Left out:", left_out)]
    return "\n\n".join(part for part in parts if part)


def _whose(source: dict[str, Any] | None) -> str:
    if source is None:
        return ""
    commits = "; ".join(f"{code(commit)}: {what}" for commit, what in source["commits"].items())
    read = f" Read at {commits}." if commits else ""
    return f"Published by {source['author']}, {source['repository']}.{read} Taken from it: {source['taken']}."


def _contradictions(rows: list[Row], tables: dict[str, dict], differences: dict[str, int]) -> str:
    """Where the study disagrees with itself, as a list."""
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
    return _listed("The study disagrees with itself, and every number is kept as printed:", found)


def _table(rows: list[Row], decimals: int) -> list[str]:
    """Rows with the same protocol, then those of each other one, behind what differs."""
    seeds = len({row["seed"] for row in rows if row["seed"] is not None}) > 1
    groups: dict[str, list[Row]] = {"": [row for row in rows if row["protocol"] == SAME]}
    for row in rows:
        if row["protocol"] != SAME:
            groups.setdefault(row["differs"], []).append(row)
    parts = []
    for differs, group in groups.items():
        if not group:
            continue
        cells = [
            [_result(row, seeds), f"{_published(row, decimals)} of {row['published_n']}", _measured(row)]
            for row in group
        ]
        header = ["result", "published", "measured"]
        if differs:
            parts.append(f"**Set apart, by another protocol** (published, here): {differs}.")
        else:
            header += ["difference", "verdict"]
            cells = [[*cell, _difference(row), row["verdict"] or ""] for cell, row in zip(cells, group, strict=True)]
        parts.append(table(header, cells))
    return parts


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
    return f"{text} by {code(row['scorer'])}" + (f"; **{row['note']}**" if row["note"] else "")


def _difference(row: Row) -> str:
    if row["difference"] is None:
        return ""
    return f"{points(row['difference'])} ({bounds(row['difference_low'], row['difference_high'])})"


def _others(tables: dict[str, dict], shown: set[str]) -> str:
    """Tables that this study has no row of, with the studies that have."""
    lines = [
        about["title"] + (": " + code(f"snakemake {about['rebuilt_by']}") if about["rebuilt_by"] else "")
        for name, about in tables.items()
        if name not in shown
    ]
    return _listed("Not part of this study, and what builds it:", lines)


def _listed(heading: str, entries: list[str]) -> str:
    return "\n".join([heading, "", *map("- {}".format, entries)]) if entries else ""
