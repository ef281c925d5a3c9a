"""Jobs that failed, as the drivers' own logs tell."""

import re
from datetime import datetime

from .plan import Plan

# `[Thu Nov 26 14:34:28 2026]`, then `Error in rule train:` and its indented particulars, outputs among them.
BLOCK = re.compile(r"^\[(?P<time>[^\]\n]+)\]\nError in rule \S+:\n(?P<more>(?: +.*\n)*)", re.M)
OUTPUT = re.compile(r"^ +output: (.*)$", re.M)


def failures(plan: Plan) -> dict[str, float]:
    """When the last failed attempt at each output ended, in seconds since 1970, since this driver began."""
    found: dict[str, float] = {}
    for log in (plan.folder / ".snakemake" / "log").glob("*.snakemake.log"):
        if log.stat().st_mtime < plan.since:
            continue
        for block in BLOCK.finditer(log.read_text(encoding="utf-8", errors="replace")):
            moment = _moment(block["time"])
            output = OUTPUT.search(block["more"])
            if output and moment + 1 >= plan.since:
                for path in output[1].split(", "):
                    found[path] = max(moment, found.get(path, 0.0))
    return found


def _moment(text: str) -> float:
    try:
        return datetime.strptime(text, "%a %b %d %H:%M:%S %Y").timestamp()
    except ValueError:
        return 0.0
