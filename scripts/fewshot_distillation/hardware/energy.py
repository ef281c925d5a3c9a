"""The energy that a job's GPUs used while it ran, by their own counters (NVML)."""

import re

from .gpus import visible_gpus

# As a job's log says it.
SAID = re.compile(r"^\d\d:\d\d:\d\d (?:the job's GPUs used|its GPUs drew) ([\d.]+) Wh ", re.M)


def counted(gpus: int) -> float | None:
    """Return watt-hours that this job's GPUs have drawn since their driver was loaded; None where nothing counts them.

    NVML's `nvmlDeviceGetTotalEnergyConsumption` gives them in millijoules, from NVIDIA's Volta on. A GPU that several
    jobs share counts for each of them. NVML numbers GPUs by their place on the bus, as CUDA does with
    `CUDA_DEVICE_ORDER=PCI_BUS_ID`, or where all are alike.

    Args:
        gpus: how many the job works on; without any nothing is read.
    """
    visible = visible_gpus()
    if gpus < 1 or visible == []:
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        # Without a list of visible ones, as on a machine of one's own, a job works on the first.
        names = (visible or [str(number) for number in range(pynvml.nvmlDeviceGetCount())])[:gpus]
        return sum(pynvml.nvmlDeviceGetTotalEnergyConsumption(_handle(pynvml, name)) for name in names) / 3.6e6
    except (pynvml.NVMLError, ValueError):
        return None


def _handle(pynvml, name: str):
    """A GPU by its number or, as some schedulers name it, by its UUID."""
    if name.strip().isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name.strip())


def told(before: float | None, after: float | None) -> str | None:
    """Describe the energy for the log; None where it isn't known."""
    if before is None or after is None or after < before:
        return None
    return f"the job's GPUs used {after - before:.3f} Wh (NVML)"
