"""The GPUs that a job requested, and those that it sees."""

import os
from pathlib import Path

from .errors import JobError
from .plans import ON_CLUSTER

# Present where a driver for NVIDIA's or AMD's GPUs is loaded.
GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd")


def visible_gpus() -> list[str] | None:
    """Return the GPUs that the scheduler left visible to this process; None where it sets none."""
    for variable in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
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
