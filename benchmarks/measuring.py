"""Timings of two ways to do one thing, taken in turn, with ratio and spread; tables and files of them."""

import csv
import functools
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
# Threads that wait for work are not to be counted as work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# What training asks of cuBLAS; PyTorch reads it at its first product.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

Round = Callable[[], tuple[float, float]]


@dataclass
class Way:
    """One way of doing a thing: what one round of it took, and how much it did, such as prompts or tokens.

    `flops` are the model FLOPs of a unit that it did; those of work that it could have done without don't count.
    """

    name: str
    once: Round
    flops: float = 0.0
    seconds: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)

    def round(self) -> None:
        seconds, done = self.once()
        self.seconds.append(seconds)
        self.done.append(done)

    @property
    def costs(self) -> list[float]:
        """Seconds of each round for a unit."""
        return [seconds / done for seconds, done in zip(self.seconds, self.done, strict=True)]

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


def clock() -> float:
    """Seconds: of the GPU's time where there is one, else of this process's processors.

    Processor time, because a busy machine changes it least; it is comparable where both ways use the same threads.
    """
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@functools.cache
def gpu_rate() -> float:
    """Measure FLOP/s of a product of two bfloat16 matrices of 8,192 x 8,192."""
    import torch

    first, second = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(13):
        start = clock()
        first @ second
        times.append(clock() - start)
    return 2 * 8192**3 / statistics.median(times[3:])


def timed(work: Callable[[], float]) -> Round:
    """A round of a function that returns how much it did."""

    def once() -> tuple[float, float]:
        start = clock()
        done = work()
        return clock() - start, done

    return once


def in_turn(ways: list[Way], rounds: int, warm_up: int = 1) -> list[Way]:
    """Take turns; the first rounds, which load and choose what later ones use, aren't counted."""
    for number in range(warm_up + rounds):
        for way in ways:
            way.round()
            if number < warm_up:
                way.seconds.clear()
                way.done.clear()
            print(f"  {way.name}: round {number + 1} of {warm_up + rounds}", file=sys.stderr, flush=True)
    return ways


def compared(what: str, unit: str, ours: Way, peer: Way | None, peak: float | None) -> dict[str, str]:
    """One row of a table: the medians, how often faster ours is, by pairs of rounds, and the FLOPs that it uses."""
    row = {"what": what, "unit": unit, "ours": f"{1000 * ours.cost:.3g}", "peer": "", "of peer": "", "ratio": ""}
    row["spread"] = ""
    if peer is not None:
        ratios = sorted(p / o for o, p in zip(ours.costs, peer.costs, strict=True))
        row |= {"peer": peer.name, "of peer": f"{1000 * peer.cost:.3g}", "ratio": f"{statistics.median(ratios):.2f}"}
        row["spread"] = f"{ratios[0]:.2f}–{ratios[-1]:.2f}"
    rate = ours.flops / ours.cost
    row["GFLOP/s"] = f"{rate / 1e9:,.0f}" if ours.flops else ""
    row["of peak"] = f"{rate / peak:.0%}" if ours.flops and peak else ""
    return row


def report(name: str, rows: list[dict[str, str]], notes: list[str], output: Path) -> None:
    """Print a table in Markdown and write it as `<name>.csv` and `<name>.md`."""
    output.mkdir(parents=True, exist_ok=True)
    with open(output / f"{name}.csv", "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    widths = {key: max(len(key), *(len(row[key]) for row in rows)) for key in rows[0]}
    lines = [{key: key for key in rows[0]}, {key: "-" * width for key, width in widths.items()}, *rows]
    text = "\n".join(f"| {' | '.join(line[key].ljust(widths[key]) for key in line)} |" for line in lines)
    text += "\n\n" + "\n".join(notes) + "\n"
    (output / f"{name}.md").write_text(text)
    print(f"\n{name}\n\n{text}", flush=True)
