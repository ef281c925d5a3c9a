"""Several processes of one job: which one this is, and whether the others are still there.

`accelerate launch` and `torchrun` set these variables. Processes that only share out work find each other by files, so
nothing times out while one of them waits for another.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import JobError

# Only the first process writes outputs.
RANK, WORLD_SIZE = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
# Whether accelerate shards the model over its processes, which then have shards instead of copies.
SHARDED = any(os.environ.get(f"ACCELERATE_USE_{name}") == "true" for name in ("FSDP", "DEEPSPEED"))
LAUNCHER = os.getppid()
LAUNCH = f"{LAUNCHER}-{os.environ.get('MASTER_PORT', 0)}"
# Set in what `start_processes` has started.
STARTED = "FEWSHOT_DISTILLATION_STARTED"
# Whether a launcher has started this process.
LAUNCHED = STARTED in os.environ or "RANK" in os.environ


def start_processes(count: int, config_file: str | None = None) -> None:
    """Replace this program by `count` processes that run it with the same arguments, unless it is one of them.

    Args:
        count: processes, one for each GPU.
        config_file: accelerate's, for a model that is sharded over them; None for a copy in each.

    Raises:
        JobError: a launcher has started another number of processes.
    """
    if LAUNCHED:
        if count != WORLD_SIZE:
            raise JobError(
                f"expected {count} processes, one for each requested GPU, but the launcher started {WORLD_SIZE}; run "
                "the program without a launcher, and it starts them itself"
            )
    elif count > 1 or config_file:
        shape = f"--num_machines 1 --num_processes {count} --main_process_port 0 --mixed_precision no".split()
        how = ["--config_file", config_file] if config_file else ["--multi_gpu", "--dynamo_backend", "no"]
        os.environ[STARTED] = "1"
        launcher = [sys.executable, "-m", "accelerate.commands.launch"]
        os.execv(sys.executable, [*launcher, *shape, *how, *sys.argv])


def check_launcher() -> None:
    """Stop a process that its launcher no longer watches, so that it doesn't write beside those of the next launch.

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
    """Mark this process's share as done in a shared folder; the first process then waits for all the others.

    Returns:
        True for the first process, which goes on alone.
    """
    notes = [folder / f"done-{LAUNCH}-{rank}" for rank in range(WORLD_SIZE)]
    notes[RANK].touch()
    if RANK == 0:
        wait_until(lambda: all(note.exists() for note in notes))
    return RANK == 0
