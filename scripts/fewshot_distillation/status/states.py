"""Which jobs of a plan are done, running, waiting or failed."""

import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from ..errors import JobError
from ..runtime.lock import look
from .failures import failures
from .logs import Tail, read_tail
from .orphans import QueuedJob, queue
from .plan import Plan, Planned

# Seconds without a line in its log after which a job without a driver counts as stopped.
SILENT = 300


class Job(NamedTuple):
    """A job and its state: done, running, waiting, failed or stopped; `left_s` is an estimate, None without a ground
    for one, and `note` is an explanation for people."""

    planned: Planned
    state: str
    tail: Tail | None = None
    left_s: float | None = None
    note: str = ""


class Status(NamedTuple):
    """All jobs, and the driver that is at work, as people know it; None if none is."""

    jobs: list[Job]
    driver: str | None
    since: float


def status(plan: Plan, results: Path) -> Status:
    """Determine the state of every job of a plan, without touching anything."""
    owner = look(results / ".state" / "driver.lease")
    queued = _queued(plan.folder)
    failed = failures(plan)
    durations = _durations(plan)
    jobs = [_job(job, plan, owner is not None, queued, failed, durations) for job in plan.jobs]
    return Status(jobs, owner, plan.since)


def _queued(folder: Path) -> dict[str, QueuedJob]:
    """Jobs in Slurm's queue that were submitted from a folder, by the comment that the plugin gives them."""
    try:
        return {job.comment: job for job in queue() if Path(job.folder) == folder.resolve()}
    except JobError:  # no Slurm here, or it doesn't answer
        return {}


def _job(
    job: Planned, plan: Plan, driven: bool, queued: dict[str, QueuedJob], failed: dict[str, float],
    durations: dict[tuple, float],
) -> Job:  # fmt: skip
    there = all((plan.folder / path).exists() for path in job.outputs)
    if not job.needed:
        return Job(job, "done")
    if job.log is None:  # of an instant: it only marks that others are done
        return Job(job, "done" if there and _newest(job, plan) >= plan.since else "waiting")
    log = plan.folder / job.log
    touched = _touched(log)
    usual = durations.get((job.rule, job.wildcards.get("model"))) or durations.get((job.rule, None))
    slurm = queued.get(_comment(job))
    if slurm is not None and slurm.state != "RUNNING":
        return Job(job, "waiting", left_s=usual, note=f"Slurm job {slurm.number}, {slurm.state}")
    if touched is None or touched < plan.since:
        return Job(job, "running" if slurm else "waiting", left_s=usual)
    tail = read_tail(log)
    if tail.ended and there:
        return Job(job, "done", tail)
    hit = max((failed.get(path, 0.0) for path in job.outputs), default=0.0)
    if slurm is None and (tail.wrong or hit >= touched - 1):
        # Without a word of its own it was ended from outside, by Ctrl-C as well.
        note = f"{job.log}{'' if tail.wrong else ', interrupted or killed'}"
        return Job(job, "failed", tail, left_s=usual, note=note)
    silent = time.time() - touched
    if slurm is None and not driven and silent > SILENT:
        return Job(job, "stopped", tail, left_s=usual, note="its driver is gone; the next one continues it")
    elapsed = time.time() - max(plan.since, _began(log))
    return Job(job, "running", tail, _left(tail, usual, elapsed))


def _comment(job: Planned) -> str:
    """What Snakemake's plugin tells Slurm about a job."""
    values = "_".join(job.wildcards.values()).replace("/", "_")
    return f"rule_{job.rule}_wildcards_{values}" if values else f"rule_{job.rule}"


def _touched(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _newest(job: Planned, plan: Plan) -> float:
    return max((_touched(plan.folder / path) or 0.0 for path in job.outputs), default=0.0)


def _began(log: Path) -> float:
    """When a job began: its spec or list of folders is older than its log, which is written all the time."""
    born = getattr(log.stat(), "st_birthtime", None)
    return born if born is not None else log.stat().st_ctime


def _left(tail: Tail, usual: float | None, elapsed: float) -> float | None:
    """Seconds to go: as long as such jobs take, or longer by the job's own progress."""
    rest = [] if usual is None else [max(0.0, usual - elapsed)]
    rest += [] if tail.left_s is None else [tail.left_s]
    return max(rest, default=None)


def _durations(plan: Plan) -> dict[tuple, float]:
    """Mean seconds of jobs that have ended, by rule and model, and by rule alone."""
    seen = defaultdict(list)
    for job in plan.jobs:
        seconds = _seconds(plan.folder / job.benchmark) if job.benchmark else None
        if seconds is not None:
            for key in {(job.rule, job.wildcards.get("model")), (job.rule, None)}:
                seen[key].append(seconds)
    return {key: sum(values) / len(values) for key, values in seen.items()}


def _seconds(benchmark: Path) -> float | None:
    """The first column of a benchmark file, as Snakemake writes it."""
    try:
        return float(benchmark.read_text().splitlines()[1].split("\t")[0])
    except (OSError, IndexError, ValueError):
        return None
