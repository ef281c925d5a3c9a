"""The jobs of a target and what is done of them, as Snakemake itself sees it."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import JobError

# Set for a Snakemake whose `--summary` lists its jobs in JSON.
LIST_JOBS = "FEWSHOT_DISTILLATION_LIST_JOBS"


@dataclass(frozen=True)
class Job:
    """One job: `done` if Snakemake would not run it; `benchmark` is the file of its last attempt."""

    rule: str
    wildcards: dict[str, str]
    done: bool
    benchmark: Path | None


def jobs_of(arguments: list[str]) -> list[Job]:
    """List the jobs of a Snakemake command, given its arguments with its targets.

    Raises:
        JobError: Snakemake fails, and why.
    """
    command, environment = [sys.executable, "-m", "snakemake", *arguments, "--summary"], os.environ | {LIST_JOBS: "1"}
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)
    if done.returncode:
        raise JobError(f"the study can't be planned: {done.stderr.strip()[-2000:]}")
    return [
        Job(job["rule"], job["wildcards"], not job["needed"], job["benchmark"] and Path(job["benchmark"]))
        for job in json.loads(done.stdout.splitlines()[-1])
    ]


def seconds(benchmark: Path, processor: bool) -> float | None:
    """Return the seconds of a job's last attempt, of its processors if asked for; None if it left none.

    Snakemake looks at the processors' time twice a second for 15 s, and then every 30 s: what a job took after the last
    look is added in proportion.
    """
    try:
        with open(benchmark, newline="") as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        took = float(row["s"])
        return float(row["cpu_time"]) * took / _last_look(took) if processor else took
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def _last_look(took: float) -> float:
    """When Snakemake last looked at a job that took so many seconds."""
    return took // 0.5 * 0.5 if took < 15 else 15 + (took - 15) // 30 * 30
