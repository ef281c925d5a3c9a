"""The jobs of a driver as it found them when it began, written down for whoever asks how far it is."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import JobError
from ..runtime.files import write_text


class Planned(NamedTuple):
    """One job: paths are seen from the driver's folder; `needed` is false where its outputs were up to date."""

    rule: str
    wildcards: dict[str, str]
    studies: list[str]
    outputs: list[str]
    log: str | None
    benchmark: str | None
    needed: bool


class Plan(NamedTuple):
    """All jobs of a driver that began at `since`, in seconds since 1970, in `folder`."""

    since: float
    folder: Path
    jobs: list[Planned]


def plan_file(results: Path) -> Path:
    return results / "logs" / "plan.json"


# The wildcards of a run's folder.
RUN = ("model", "condition", "lam", "seed", "schedule")


def write_plan(results: Path, jobs: Iterable[dict[str, Any]], studies: dict[tuple[str, ...], list[str]]) -> None:
    """Write down what a driver is about to do.

    Args:
        jobs: the fields of `Planned`, without `studies`.
        studies: names of the studies that ask for a run, by the run's wildcards.
    """
    known = [job | {"studies": studies.get(tuple(job["wildcards"].get(name) for name in RUN), [])} for job in jobs]
    content = {"since": time.time(), "folder": os.getcwd(), "jobs": known}
    write_text(plan_file(results), json.dumps(content, ensure_ascii=False) + "\n")


def read_plan(results: Path) -> Plan:
    """Read what the last driver of a results folder wrote down.

    Raises:
        JobError: no driver has begun there.
    """
    try:
        content: dict[str, Any] = json.loads(plan_file(results).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise JobError(
            f"nothing has been started in {results} yet; `snakemake all -n` shows what would be done"
        ) from None
    jobs = [Planned(**job) for job in content["jobs"]]
    return Plan(content["since"], Path(content["folder"]), jobs)
