"""How fast a job computes, and how much of a device's matrix rate that takes."""

import time

import torch

from ..config.plan import PEAKS


def peak_of(device: torch.device) -> float | None:
    """Return the dense bfloat16 rate of a device in FLOP/s, by its data sheet; None for one that isn't known here."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device).lower().replace(" ", "")
    return next((rate for known, rate in PEAKS.items() if known in name), None)


class Speed:
    """Tokens a second, and the share of a device's peak that they take.

    Args:
        peak: FLOP/s of one device, None where it isn't known.
        devices: among which the work is shared.
    """

    def __init__(self, peak: float | None, devices: int) -> None:
        self.peak, self.devices = peak, devices
        self.last = time.monotonic()
        self.steps: list[tuple[float, int, float]] = []  # seconds, tokens and FLOPs

    def of_step(self, tokens: int, flops: float) -> float:
        """Note a step that ends now; its tokens a second."""
        now = time.monotonic()
        self.steps.append((now - self.last, tokens, flops))
        self.last = now
        return tokens / self.steps[-1][0]

    def recent(self) -> str:
        return self._text(self.steps[-20:])

    def overall(self) -> str:
        """Describe all steps but the first, which prepares what the others use."""
        return self._text(self.steps[1:] or self.steps)

    def _text(self, steps: list[tuple[float, int, float]]) -> str:
        seconds, tokens, flops = (sum(column) for column in zip(*steps, strict=True)) if steps else (0, 0, 0)
        if not seconds:
            return "no step yet"
        rate = flops / seconds / self.devices
        of_peak = "" if self.peak is None else f", {rate / self.peak:.1%} of the GPU's peak"
        return f"{tokens / seconds:,.0f} tokens/s, {rate / 1e9:,.0f} GFLOP/s{of_peak}"
