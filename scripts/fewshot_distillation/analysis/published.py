"""Published accuracies beside the measured ones, result by result, and where the two may be compared."""

from typing import Any

import pandas as pd

from ..config.catalogue import BASE
from ..config.protocol import OwnProtocol, Protocol
from .collect import RESULT, names
from .protocols import DIFFERS, SAME, UNKNOWN, differences, is_part, scorer_of
from .statistics import independent_difference, proportion_interval

COLUMNS = ["table", "label", *RESULT, "step", "last_step", "seed", "published", "published_high", "published_n"]
COLUMNS += ["measured", "measured_high", "scorer", "low", "high", "n"]
COLUMNS += ["difference", "difference_low", "difference_high", "protocol", "differs", "verdict", "note"]
# What is said of a difference where the protocol is the same: its interval holds zero, or it doesn't.
AGREES, OFF = "in agreement", "off"


def published_vs_measured(
    published: pd.DataFrame,
    measured: pd.DataFrame,
    labels: dict[str, str],
    protocols: dict[str, Protocol | None],
    own: OwnProtocol,
    confidence: float,
) -> pd.DataFrame:
    """One row for each published accuracy, and for each seed with which it was measured.

    Args:
        published: as `read_published` gives it.
        measured: rows of accuracy.csv and of phase 0, in one table.
        labels: names of trained conditions as readers see them.
        protocols: of the published tables, by their names.
        own: the protocol of the study at hand.
        confidence: coverage of the intervals.

    Returns:
        Columns `COLUMNS`. A published range has `published` and `published_high`, and the lowest and highest accuracy
        measured in its steps; a difference has no value there, nor between two datasets. `protocol` says whether both
        came about alike, `differs` in which points they didn't; only where they did there is a `verdict`. `note` says
        what else keeps a row from being compared, or weakens the comparison.
    """
    groups = measured.assign(name=names(measured)).groupby("name", sort=False) if len(measured) else ()
    parts = dict(list(groups))
    rows = []
    for row, name in zip(published.to_dict("records"), names(published), strict=True):
        row |= dict(zip(RESULT, name, strict=True))
        prompted = f"{row['shots']}-shot"
        label = prompted if row["condition"] == BASE else labels.get(row["condition"], row["condition"])
        steps = {key: row[key] for key in (*RESULT, "step", "last_step")}
        ours = {"table": row["table"], "label": label, **steps, "published": row["low"], "published_n": row["n"]}
        if row["high"] > row["low"]:
            ours["published_high"] = row["high"]
        protocol = protocols.get(row["table"])
        ours |= _alike(protocol, own, row)
        found = parts.get(name, measured.iloc[:0])
        found = found[found["step"].between(row["step"], row["last_step"])]
        if found.empty:
            missing = "not measured yet" if ours["protocol"] else "not part of this study"
            rows.append(ours | {"note": _notes(missing, row["caution"])})
        for _, part in found.groupby("seed", dropna=False):
            beside = _beside(row, part, scorer_of(protocol, own), own, confidence)
            if ours["protocol"] == SAME and beside["n"] != row["n"]:
                beside |= {"protocol": DIFFERS, "differs": f"questions: {row['n']}, here {beside['n']}"}
            elif ours["protocol"] == SAME and "difference" in beside:
                beside["verdict"] = AGREES if beside["difference_low"] <= 0 <= beside["difference_high"] else OFF
            rows.append(ours | beside)
    return pd.DataFrame(rows, columns=COLUMNS)


def _alike(protocol: Protocol | None, own: OwnProtocol, row: dict) -> dict[str, str]:
    """Columns `protocol` and `differs` of a row."""
    if not is_part(own, row):
        return {"protocol": "", "differs": ""}
    if protocol is None:
        return {"protocol": UNKNOWN, "differs": "nothing is known of its protocol"}
    apart = differences(protocol, own, row)
    return {"protocol": DIFFERS if apart else SAME, "differs": "; ".join(apart)}


def _beside(row: dict, part: pd.DataFrame, scorer: str, own: OwnProtocol, confidence: float) -> dict[str, Any]:
    """What was measured for one published row with one seed: one checkpoint, or several for a range of steps."""
    first = part.iloc[0]
    share = "accuracy" if scorer == own.metric or scorer not in part else scorer
    found = {"seed": first["seed"], "measured": part[share].min(), "n": first["n"], "scorer": scorer}
    notes, dataset = [], own.evaluation_set.dataset
    if dataset != row["dataset"]:
        notes.append(f"other questions: published on {row['dataset']}, measured on {dataset}")
    elif first["n"] != row["n"]:
        notes.append(f"other questions: published on {row['n']}, measured on {first['n']}")
    if row["step"] != row["last_step"]:
        found["measured_high"] = part[share].max()
        notes.append(f"{len(part)} checkpoint{'s' if len(part) > 1 else ''} measured in this range")
    else:
        right = (round(first[share] * first["n"]), int(first["n"]))
        low, high = proportion_interval(*right, confidence)
        found |= {"low": float(low), "high": float(high)}
        if dataset == row["dataset"] and row["correct"] == row["correct"]:  # no number of right answers is NaN
            found |= independent_difference(right, (int(row["correct"]), row["n"]), confidence)
    return found | {"note": _notes(*notes, row["caution"])}


def _notes(*parts: str | None) -> str:
    return "; ".join(part for part in parts if part and part == part)


def other_differences(published: pd.DataFrame) -> dict[str, int]:
    """How many differences are printed, how many of them aren't those of the printed accuracies, and how far off the
    farthest is, in units of the last printed decimal: rounding alone makes one."""
    printed = published[published["printed_difference"].notna()]
    off = (printed["printed_difference"] - printed["difference"]).astype(float).abs()
    units = (off * 10.0 ** printed["decimals"]).round().astype(int)
    return {"printed": len(printed), "other": int((units > 0).sum()), "largest": int(units.max()) if len(units) else 0}
