"""Jobs in a Slurm queue whose driver is gone."""

import datetime
import getpass
import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from ..errors import JobError
from ..runtime.lock import Lock
from ..runtime.plans import last_note


class QueuedJob(NamedTuple):
    """A job as `squeue` shows it; `submitted` is local time, `comment` is the plugin's, with rule and wildcards."""

    number: str
    state: str
    submitted: str
    node: str
    comment: str
    folder: str


def orphans(folder: Path, results: Path | None = None) -> list[QueuedJob]:
    """Return jobs that were submitted from a working folder by drivers that are gone.

    All of them where no driver is at work, else those that were submitted before the first of them began. Slurm reports
    whole seconds: what was submitted within the second in which a driver began counts as the driver's.

    Args:
        folder: where the drivers were started.
        results: their results folder, where it isn't up to two levels below `folder`.

    Raises:
        JobError: there is no such folder; or there are jobs, but no results folder shows that a driver has worked in
            it, so one may still.
    """
    if not folder.is_dir():
        raise JobError(f"there is no folder {folder.resolve()}")
    named = [results / ".state"] if results else []
    jobs = [job for job in queue() if Path(job.folder) == folder.resolve() and job.comment.startswith("rule_")]
    if not jobs:
        return []
    below = {*folder.glob("*/.state"), *folder.glob("*/*/.state")}
    states = [state for state in {*below, *named} if (state / "driver.json").is_file()]
    if not states or not all(state in states for state in named):
        raise JobError(
            f"{len(jobs)} jobs were submitted from {folder.resolve()}, but there is no trace of their driver in "
            f"{results or 'a results folder below it'}; name their results folder, as in --results /scratch/results"
        )
    began = min((seconds for state in states if (seconds := _driver_began(state)) is not None), default=None)
    return [job for job in jobs if began is None or _seconds(job.submitted) + 1 <= began]


def cancel(jobs: list[QueuedJob]) -> None:
    _run("scancel", *(job.number for job in jobs))


def _driver_began(state: Path) -> float | None:
    """When the driver that is at work began, in seconds since 1970; None if none is."""
    lock = Lock(state / "driver.lease")
    if lock.take_over():
        lock.release()
        return None
    note = last_note(state)
    return note and note["since"]


def _seconds(local_time: str) -> float:
    return datetime.datetime.fromisoformat(local_time).timestamp()


def queue() -> list[QueuedJob]:
    """Return this user's jobs in Slurm's queue.

    Raises:
        JobError: there is no Slurm here, or it doesn't answer.
    """
    formats = "%i|%T|%V|%N|%k|%Z"
    lines = _run("squeue", "--user", getpass.getuser(), "--noheader", "--format", formats).splitlines()
    return [QueuedJob(*line.split("|", 5)) for line in lines]


def _run(*command: str) -> str:
    try:
        environment = os.environ | {"SLURM_TIME_FORMAT": "standard"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    except FileNotFoundError:
        raise JobError(f"{command[0]} is not installed here; ask on a node of the cluster") from None
    if done.returncode:
        raise JobError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
