"""Where the numbers come from: versions, commits and devices of all jobs, and the commands that repeat them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ..analysis.logs import Log


def notes(results: Path) -> list[dict[str, Any]]:
    """Read what jobs wrote beside their outputs about how these were made (`*.job.json`)."""
    paths = [path for path in sorted(results.rglob("*.job.json")) if ".state" not in path.parts]
    return [json.loads(path.read_text()) for path in paths]


def surroundings(jobs: list[dict[str, Any]], logs: list[Log]) -> list[tuple[str, str]]:
    """Return versions, commits and devices, each with the number of jobs where they aren't those of all."""
    versions: dict[str, Counter] = {}
    for job in jobs:
        for name, version in job.get("versions", {}).items():
            versions.setdefault(name, Counter())[version] += 1
    rows = [("code, commit", _counted(Counter(log.commit for log in logs if log.commit)))]
    rows += [("device", _counted(Counter(job.get("device") for job in jobs if job.get("device"))))]
    rows += [("computer", _counted(Counter(job.get("host") for job in jobs if job.get("host"))))]
    rows += [(name, _counted(counts)) for name, counts in versions.items()]
    return [(name, value) for name, value in rows if value]


def _counted(counts: Counter) -> str:
    if len(counts) == 1:
        return str(next(iter(counts)))
    return ", ".join(f"{value} ({count} jobs)" for value, count in counts.most_common())
