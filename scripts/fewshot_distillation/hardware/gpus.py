"""The GPUs that a job requested, and those that it sees."""

import fcntl
import logging
import os
import tempfile
import time
from pathlib import Path

from ..errors import JobError

log = logging.getLogger("fewshot_distillation")

# Set in jobs that an executor has sent to a cluster, whose scheduler gives out the GPUs.
ON_CLUSTER = "FEWSHOT_DISTILLATION_ON_CLUSTER"
# Present where a driver for NVIDIA's or AMD's GPUs is loaded.
GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd")
# A folder for each of NVIDIA's GPUs.
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")
VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")


def visible_gpus() -> list[str] | None:
    """Return the GPUs that the scheduler left visible to this process; None where it sets none."""
    for variable in VISIBLE:
        if variable in os.environ:
            # Older Slurms write NoDevFiles for none.
            return [name for name in os.environ[variable].split(",") if name.strip() not in ("", "NoDevFiles")]
    return None


def shown_gpus() -> str:
    """Return the GPUs that this process may use, for its log."""
    visible = visible_gpus()
    if visible is None and any(Path(path).exists() for path in GPU_DRIVERS):
        return "not restricted"
    return ",".join(visible or []) or "none"


def check_gpus(requested: int) -> None:
    """Make sure that a cluster gave a job its GPUs; elsewhere a CPU may do the work.

    Raises:
        JobError: there are fewer GPUs than requested, or PyTorch can't use them.
    """
    if requested < 1 or ON_CLUSTER not in os.environ:
        return
    wanted = f"requested {requested} GPU{'s' * (requested > 1)}"
    visible = visible_gpus()
    if "SLURM_JOB_ID" in os.environ and len(visible or []) < requested:
        seen = "CUDA_VISIBLE_DEVICES is not set" if visible is None else f"sees {len(visible)}"
        raise JobError(f"{wanted}, {seen}; check `gpu`, `gpu_model` and `slurm_partition` of the rule in the profile")
    if any(Path(path).exists() for path in GPU_DRIVERS):
        import torch

        if torch.cuda.device_count() < requested:
            raise JobError(
                f"{wanted}, but PyTorch {torch.__version__} can use {torch.cuda.device_count()}; install a build for "
                "this machine's driver"
            )


def take_gpus(requested: int) -> None:
    """Choose GPUs that no other job of this user works on, and hide the others, until this process ends.

    Waits until enough are free. A cluster's scheduler does this itself. Nothing is done where GPUs can't be counted.
    """
    names = visible_gpus()
    if names is None and NVIDIA_GPUS.is_dir():
        names = [str(number) for number in range(len(list(NVIDIA_GPUS.iterdir())))]
    if requested < 1 or not names or ON_CLUSTER in os.environ:
        return
    requested, logged = min(requested, len(names)), False
    while len(taken := _free(names, requested)) < requested:
        for lock in taken.values():
            os.close(lock)
        if not logged:
            log.info("waiting for %d of the GPUs %s, which other jobs use", requested, ",".join(names))
            logged = True
        time.sleep(1)
    for lock in taken.values():
        os.set_inheritable(lock, True)  # by the launcher that this process may become
    # AMD's variable has names of its own, which NVIDIA's would take for numbers among these.
    os.environ[next((variable for variable in VISIBLE if variable in os.environ), VISIBLE[0])] = ",".join(taken)


def _free(names: list[str], wanted: int) -> dict[str, int]:
    """Lock up to so many of these GPUs; the operating system opens a lock when its process ends, however it ends."""
    folder = Path(tempfile.gettempdir()) / f"fewshot_distillation-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    locked: dict[str, int] = {}
    for name in names:
        if len(locked) == wanted:
            break
        lock = os.open(folder / f"gpu-{name.strip().replace('/', '-')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked[name] = lock
        except BlockingIOError:
            os.close(lock)
    return locked
