"""Jobs that failed, as the drivers' own logs tell."""

import re
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from .plan import Plan

# `[Thu Nov 26 14:34:28 2026]`, then `Error in rule train:` and its indented particulars, outputs among them.
BLOCK = re.compile(r"^\[(?P<time>[^\]\n]+)\]\nError in rule \S+:\n(?P<more>(?: +.*\n)*)", re.M)
OUTPUT = re.compile(r"^ +output: (.*)$", re.M)


class Attempt(NamedTuple):
    """A failed attempt at a job: outputs, seen from the driver's folder, and its end, in seconds since 1970."""

    outputs: list[str]
    moment: float


def failures(plan: Plan) -> dict[str, float]:
    """Return when the last failed attempt at each output ended, in seconds since 1970, since this driver began."""
    found: dict[str, float] = {}
    for attempt in attempts(plan.folder, plan.since):
        for path in attempt.outputs:
            found[path] = max(attempt.moment, found.get(path, 0.0))
    return found


def attempts(folder: Path, since: float = 0.0) -> list[Attempt]:
    """Return all failed attempts that the drivers of a folder have recorded since some time."""
    found = []
    for log in sorted((folder / ".snakemake" / "log").glob("*.snakemake.log")):
        if log.stat().st_mtime < since:
            continue
        for block in BLOCK.finditer(log.read_text(encoding="utf-8", errors="replace")):
            moment, output = _moment(block["time"]), OUTPUT.search(block["more"])
            if output and moment + 1 >= since:
                found.append(Attempt(output[1].split(", "), moment))
    return found


def _moment(text: str) -> float:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").timestamp()
    except ValueError:
        return 0.0
