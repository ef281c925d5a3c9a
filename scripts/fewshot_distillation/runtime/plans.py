"""What a driver (the `snakemake` that a person starts) hands down to the jobs that it leaves waiting in a queue.

A cluster's job starts a Snakemake of its own that reads the workflow again, perhaps hours later. So that it does what
was submitted, the driver hands down, in the environment, the configuration it has read, digests of the source, and the
driver's id in a results folder, by which a job of a driver that was killed detects that another took its place.
"""

import base64
import json
import os
import zlib
from pathlib import Path
from typing import Any

PLANS = "FEWSHOT_DISTILLATION_PLANS"
# The note of the driver in each folder of unfinished work that it has taken.
DRIVER = "FEWSHOT_DISTILLATION_DRIVER"
# Why the program of a job must not do its work; the program prints it, because the driver shows the program's log.
REFUSAL = "FEWSHOT_DISTILLATION_REFUSAL"

AGAIN = "run the same command again to submit it as it is now"


def hand_down(name: str, plan: dict[str, Any], state: Path) -> None:
    """Hand jobs what this driver has read; its note in the folder of unfinished work follows before they start.

    `name` distinguishes the uses of this workflow as a module.
    """
    os.environ[DRIVER] = json.dumps(_notes() | {os.path.abspath(state): None})
    packed = base64.b64encode(zlib.compress(json.dumps(plan, default=str).encode())).decode()
    plans = json.loads(os.environ.get(PLANS, "{}"))
    os.environ[PLANS] = json.dumps(plans | {name: packed})


def submitted(name: str) -> dict[str, Any] | None:
    """Return what the driver of this job handed down; None in a job that no driver started."""
    packed = json.loads(os.environ.get(PLANS, "{}")).get(name)
    return None if packed is None else json.loads(zlib.decompress(base64.b64decode(packed)))


def edited(before: dict[str, str], now: dict[str, str]) -> str | None:
    """Explain why a job must not start, by the first file that isn't what it was at submission; None if it may."""
    changed = sorted(name for name in now if before.get(name) != now[name])
    return f"{changed[0]} was edited after this job had been submitted; {AGAIN}" if changed else None


def refuse(reason: str | None) -> None:
    """Let the programs that this process starts end with a sentence instead of doing their work."""
    if reason:
        os.environ.setdefault(REFUSAL, reason)


def refusal() -> str | None:
    """Explain why this program must not do its work; None if it may, as always where a person starts it."""
    untaken = [os.path.dirname(state) for state, note in _notes().items() if note is None]
    if untaken:
        return (
            f"the driver has not taken {untaken[0]}; don't start it with --no-hooks, and in a Snakefile that uses "
            "this one as a module named study, call study.onstart() in `onstart:` and study.onsuccess() in `onsuccess:`"
        )
    return os.environ.get(REFUSAL)


def hand_down_note(state: Path, note: dict[str, Any]) -> None:
    """Hand jobs the note of this driver in a folder of unfinished work."""
    os.environ[DRIVER] = json.dumps(_notes() | {os.path.abspath(state): note})


def replaced(state: Path) -> str | None:
    """Explain why a job that hasn't begun must not begin: another driver does its work by now; None if it may."""
    own, last = _taken().get(os.path.abspath(state)), last_note(state)
    if own is None or (last is not None and last["id"] == own["id"]):
        return None
    return "the driver that submitted this job was stopped, and another has taken over its work since"


def replaced_by_another_plan() -> str | None:
    """Explain why a job must not publish its outputs: other settings or code than its own count now; None if it may."""
    for state, own in _taken().items():
        last = last_note(Path(state))
        if last is not None and last["plan"] != own["plan"]:
            return (
                "the workflow was started again with other settings or code while this job ran, so its outputs don't"
                " count"
            )
    return None


def outdated(output: Path) -> str | None:
    """Explain, as `replaced_by_another_plan`, why a file must not appear; unfinished work may always be saved."""
    target = os.path.abspath(output)
    if any(Path(target).is_relative_to(state) for state in _taken()):
        return None
    return replaced_by_another_plan()


def last_note(state: Path) -> dict[str, Any] | None:
    """Return the note of the driver that took the folder last."""
    try:
        return json.loads((state / "driver.json").read_text())
    except (OSError, ValueError):
        return None


def _notes() -> dict[str, dict[str, Any] | None]:
    """By folder of unfinished work, the note of this job's driver in it; None where the driver has not taken it."""
    return json.loads(os.environ.get(DRIVER) or "{}")


def _taken() -> dict[str, dict[str, Any]]:
    return {state: note for state, note in _notes().items() if note is not None}
