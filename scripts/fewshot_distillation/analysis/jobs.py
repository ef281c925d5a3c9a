"""Checks of the jobs themselves: which failed, went on after an interruption, or haven't been done."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..errors import JobError
from ..status.failures import attempts
from ..status.plan import Planned, read_plan
from .logs import Log, read_logs
from .text import code

# What is still to come when the analysis is written.
LATER = ("write_analysis", "write_report", "all")
# Names that a sentence lists.
LISTED = 10


class Checked(NamedTuple):
    """Jobs that left a log, and names of those that did something else than run once from start to end."""

    jobs: int
    failed: Counter  # failed attempts by the job's log or first output
    resumed: list[str]
    unfinished: list[str]
    missing: list[str]


def check_jobs(results: Path) -> Checked:
    """Look at everything that the jobs below a results folder and their drivers have left behind."""
    logs = [log for log in read_logs(results) if log.command and log.rule not in LATER]
    try:
        plan = read_plan(results)
    except JobError:  # jobs that were started by hand
        return Checked(len(logs), Counter(), _resumed(logs), _unfinished(logs), [])
    mine = [job for job in plan.jobs if job.rule not in LATER]
    names = {path: _name(results, plan.folder, job) for job in mine for path in job.outputs}
    # None is there where the folder has been moved since.
    logs = [log for log in logs if log.path in names.values()] or logs
    hit = [attempt for attempt in attempts(plan.folder) if attempt.outputs[0] in names]
    failed = Counter(names[attempt.outputs[0]] for attempt in hit)
    there = {path: (plan.folder / path).exists() for path in names}
    missing = [job for job in mine if job.needed and not all(there[path] for path in job.outputs)]
    gone = [_name(results, plan.folder, job) for job in missing]
    return Checked(len(logs), failed, _resumed(logs), _unfinished(logs), gone)


def _name(results: Path, folder: Path, job: Planned) -> str:
    """A job by its log, seen from the results folder, or by its first output."""
    return os.path.relpath(folder / (job.log or job.outputs[0]), results.absolute())


def _resumed(logs: list[Log]) -> list[str]:
    return [log.path for log in logs if log.interrupted]


def _unfinished(logs: list[Log]) -> list[str]:
    return [log.path for log in logs if not log.finished]


def job_lines(found: Checked) -> list[str]:
    """Return points of a list in Markdown; none where no job has left a log."""
    if not found.jobs:
        return []
    ended = found.jobs - len(found.unfinished)
    well = "all of which finished" if not found.unfinished else f"{ended} of which finished"
    lines = [
        f"- {found.jobs} jobs have left logs, {well}; {found.failed.total() or 'no'} attempts of jobs have failed."
    ]
    if found.failed:
        names = [f"{code(name)}{f' ({count} times)' if count > 1 else ''}" for name, count in found.failed.items()]
        lines.append(f"- **Attempts failed** of {_listed(names)}.")
    if found.resumed:
        lines.append(f"- Interrupted, and continued from saved work: {_listed(map(code, found.resumed))}.")
    if found.unfinished:
        lines.append(f"- **Failed, or still running when this was written**: {_listed(map(code, found.unfinished))}.")
    if found.missing:
        lines.append(f"- **Not done when this was written**: {_listed(map(code, found.missing))}.")
    return lines


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
