"""Several processes of one job: which one this is, and whether the others are still there.

`accelerate launch` and `torchrun` set these variables. Processes that only share out work find each other by files, so
nothing times out while one of them waits for another.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

from .errors import JobError

# Only the first process writes outputs.
RANK, WORLD_SIZE = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
# Whether accelerate was told to spread a model over its processes, which then keep parts instead of copies.
IN_PARTS = any(os.environ.get(f"ACCELERATE_USE_{name}") == "true" for name in ("FSDP", "DEEPSPEED"))
LAUNCHER = os.getppid()
LAUNCH = f"{LAUNCHER}-{os.environ.get('MASTER_PORT', 0)}"


def check_world(processes: int) -> None:
    """Stop where a launcher started other than the `processes` that were asked for.

    `accelerate launch --cpu --num_processes 2` starts no second process that the first knows of, and says nothing.

    Raises:
        JobError: says how many there are.
    """
    if processes != WORLD_SIZE:
        raise JobError(
            f"{processes} processes were asked for, but this one is of {WORLD_SIZE} that know of each other; start "
            "them with `accelerate launch --multi_gpu` or `torchrun`"
        )


def check_launcher() -> None:
    """A process that its launcher no longer watches stops, so that it doesn't write beside those of the next launch.

    Raises:
        JobError: the launcher is gone.
    """
    if WORLD_SIZE > 1 and os.getppid() != LAUNCHER:
        raise JobError("the launcher of this process is gone, so the process stops")


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait as long as it takes, or until the launcher is gone."""
    while not condition():
        check_launcher()
        time.sleep(0.1)


def all_here(folder: Path) -> bool:
    """Say in a shared folder that this process's part is done; the first process then waits for all the others.

    Returns:
        True for the first process, which goes on alone.
    """
    notes = [folder / f"done-{LAUNCH}-{rank}" for rank in range(WORLD_SIZE)]
    notes[RANK].touch()
    if RANK == 0:
        wait_until(lambda: all(note.exists() for note in notes))
    return RANK == 0
