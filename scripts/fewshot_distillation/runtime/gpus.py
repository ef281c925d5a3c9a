"""The GPUs that a job was promised, and those that it sees."""

import os
from pathlib import Path

from .errors import JobError
from .plans import ON_CLUSTER

# Present where a driver for NVIDIA's or AMD's GPUs is loaded.
GPU_DRIVERS = ("/proc/driver/nvidia/version", "/dev/kfd")


def visible_gpus() -> list[str] | None:
    """The GPUs that the scheduler left visible to this process; None where it says nothing."""
    for variable in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        if variable in os.environ:
            # Older Slurms say NoDevFiles for none.
            return [name for name in os.environ[variable].split(",") if name.strip() not in ("", "NoDevFiles")]
    return None


def shown_gpus() -> str:
    """The GPUs that this process may use, for its log."""
    visible = visible_gpus()
    if visible is None and any(Path(path).exists() for path in GPU_DRIVERS):
        return "not restricted"
    return ",".join(visible or []) or "none"


def check_gpus(promised: int) -> None:
    """Make sure that a cluster gave a job its GPUs; elsewhere nothing is promised, and a CPU may do the work.

    Raises:
        JobError: there are fewer GPUs than promised, or PyTorch can't use them.
    """
    if promised < 1 or ON_CLUSTER not in os.environ:
        return
    visible = visible_gpus()
    if "SLURM_JOB_ID" in os.environ and len(visible or []) < promised:
        seen = "CUDA_VISIBLE_DEVICES is not set" if visible is None else f"it sees {','.join(visible) or 'none'}"
        raise JobError(
            f"this job was promised {promised} GPU{'s' * (promised > 1)}, but {seen}; check `gpu`, `gpu_model` and "
            "`slurm_partition` of its rule in the profile"
        )
    if any(Path(path).exists() for path in GPU_DRIVERS):
        import torch

        if torch.cuda.device_count() < promised:
            raise JobError(
                f"this job was promised {promised} GPU{'s' * (promised > 1)}, but PyTorch {torch.__version__} can use "
                f"{torch.cuda.device_count()}; is it a build for this machine's driver?"
            )
