"""The driver (the `snakemake` that a person starts) and the jobs that it leaves waiting in a queue.

A cluster's job starts a Snakemake of its own that reads the workflow again, perhaps hours later. So that it does what
was submitted, the driver hands down, in the environment, the configuration it has read and digests of the source; and
it signs the results folder, so that a job of a driver that was killed sees that another has taken its place.
"""

import base64
import contextlib
import hashlib
import json
import os
import time
import uuid
import zlib
from pathlib import Path
from typing import Any

from .files import write_json
from .lock import Lock, described

PLANS, DRIVER = "FEWSHOT_DISTILLATION_PLANS", "FEWSHOT_DISTILLATION_DRIVER"
# Set in jobs that an executor has sent to a cluster.
ON_CLUSTER = "FEWSHOT_DISTILLATION_ON_CLUSTER"
# Why the program of a job must not do its work; said by the program, because the driver shows the log of that.
REFUSAL = "FEWSHOT_DISTILLATION_REFUSAL"

AGAIN = "run the same command again to submit it as it is now"


def hand_down(name: str, plan: dict[str, Any]) -> None:
    """Let jobs know what this driver has read; `name` tells the uses of this workflow as a module apart."""
    packed = base64.b64encode(zlib.compress(json.dumps(plan, default=str).encode())).decode()
    plans = json.loads(os.environ.get(PLANS, "{}"))
    os.environ[PLANS] = json.dumps(plans | {name: packed})


def submitted(name: str) -> dict[str, Any] | None:
    """What the driver of this job handed down; None in a job that no driver started."""
    packed = json.loads(os.environ.get(PLANS, "{}")).get(name)
    return None if packed is None else json.loads(zlib.decompress(base64.b64decode(packed)))


def edited(before: dict[str, str], now: dict[str, str]) -> str | None:
    """Why a job must not start: a sentence with the first file that isn't what it was when the job was submitted."""
    changed = sorted(name for name in now if before.get(name) != now[name])
    return f"{changed[0]} was edited after this job had been submitted; {AGAIN}" if changed else None


def refuse(reason: str | None) -> None:
    """Let the programs that this process starts end with a sentence instead of doing their work."""
    if reason:
        os.environ.setdefault(REFUSAL, reason)


def refusal() -> str | None:
    """Why this program must not do its work."""
    return os.environ.get(REFUSAL)


class Driver:
    """This driver's hold on a results folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._lock = Lock(state / "driver.lock")

    def take(self) -> str | None:
        """Take the folder; if another driver has it, who that is.

        The lock is let go when the driver ends, however it ends, so nothing is left to unlock; of a driver on another
        machine it takes a while to see that it ended.
        """
        if not self._lock.take_over():
            return described(self._lock.owner)
        plans = hashlib.sha256(os.environ.get(PLANS, "").encode()).hexdigest()[:16]
        note = {"id": uuid.uuid4().hex, "plan": plans, "since": time.time()}
        write_json(self.state / "driver.json", note)
        os.environ[DRIVER] = json.dumps(note)
        return None

    def release(self) -> None:
        """Let another driver begin at once, from whatever machine."""
        self._lock.release()

    def finished(self) -> None:
        """Nothing is left to do: remove the driver's files."""
        (self.state / "driver.json").unlink(missing_ok=True)
        self._lock.remove()
        with contextlib.suppress(OSError):
            self.state.rmdir()


def _drivers(state: Path) -> tuple[dict[str, str] | None, dict[str, str] | None]:
    """The driver that submitted this job, and the one that took the results folder last."""
    own = json.loads(os.environ.get(DRIVER, "null"))
    try:
        return own, json.loads((state / "driver.json").read_text())
    except (OSError, ValueError):
        return own, None


def replaced(state: Path) -> str | None:
    """Why a job that hasn't begun must not begin: another driver does its work by now."""
    own, last = _drivers(state)
    if own is None or (last is not None and last["id"] == own["id"]):
        return None
    return "the driver that submitted this job was stopped, and another has taken over its work since"


def replaced_by_another_plan(state: Path) -> str | None:
    """Why a job must not publish what it computes: settings or code that count now are not those it began with."""
    own, last = _drivers(state)
    if own is None or last is None or last["plan"] == own["plan"]:
        return None
    return "the workflow was started again with other settings or code while this job ran, so its outputs don't count"
