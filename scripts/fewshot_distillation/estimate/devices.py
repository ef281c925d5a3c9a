"""How fast a device computes each kind of work, as a share of its matrix rate."""

import time
from dataclasses import dataclass

from ..config.plan import PEAKS
from .work import Work

# Shares of the data sheet's rate in forward passes and in training, with a model of Qwen3-1.7B's shape: measured on an
# H100, and estimated for slower GPUs, which wait less for their host.
HOPPER, OTHERS = (0.3, 0.2), (0.4, 0.3)


@dataclass(frozen=True)
class Device:
    """A matrix rate in FLOP/s (of one core, for a CPU), the shares of it that each kind of work reaches, and a start.

    `start` is what a job takes before and after its work, in seconds: imports, loading a small model, digests.
    """

    name: str
    unit: str
    peak: float
    forward: float
    training: float
    decoding: float
    start: float

    def seconds(self, work: Work) -> float:
        """Return the seconds of one device (or core) for a job that computes with a model."""
        busy = work.forward / self.forward + work.training / self.training + work.decoding / self.decoding
        return self.start + busy / self.peak

    def __str__(self) -> str:
        rate = f"{self.peak / 1e12:,.0f} TFLOP/s" if self.peak >= 1e12 else f"{self.peak / 1e9:,.0f} GFLOP/s"
        return (
            f"{self.name} with {rate}; {self.forward:.0%} of that in forward passes, {self.training:.0%} in training, "
            f"{self.decoding:.1%} in writing answers; {self.start:.0f} s a job to start"
        )


def device_of(name: str, backend: str, precision: str) -> Device:
    """Return the device of a name from the configuration; a CPU is measured here.

    On a GPU vLLM writes answers the fastest, since it has hundreds of them in a batch; `auto` takes it.
    """
    if name == "cpu":
        return Device("cores of this machine, each", "core", core_rate(precision), 0.6, 0.45, 0.3, 20)
    fast = backend in ("auto", "vllm", "server")
    writer = "a server" if backend == "server" else "vLLM" if fast else backend
    forward, training = HOPPER if name in ("h100", "h200") else OTHERS
    decoding = 0.06 if fast else 0.02
    return Device(f"one {name.upper()} (answers by {writer})", "GPU", PEAKS[name], forward, training, decoding, 40)


def core_rate(precision: str, size: int = 768) -> float:
    """Measure the matrix rate of one core in FLOP/s, in the type that it computes in; processor time is what counts."""
    import torch

    from ..modeling.load import dtype_for

    torch.set_num_threads(1)
    left = torch.randn(size, size).to(dtype_for(precision, torch.device("cpu")))
    (left @ left).sum()
    started, count = time.process_time(), 0
    while time.process_time() - started < 0.5:
        (left @ left).sum()
        count += 1
    return 2 * size**3 * count / (time.process_time() - started)
