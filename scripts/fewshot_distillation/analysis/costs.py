"""What the study cost: hours per rule, from the benchmark files that Snakemake keeps of every job's last attempt."""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..hardware.energy import SAID
from ..status.text import duration
from .text import table

# From the second line of a job's log (runtime.provenance.surroundings).
RESERVED = re.compile(r" GPU numbers (\S.*?) \((\d+) requested\)")


class Cost(NamedTuple):
    """All jobs of one rule; `gpu_hours` counts the GPUs that were reserved, busy or not, and `energy_wh` what they drew
    in those jobs that could read it, None where none could."""

    rule: str
    jobs: int
    hours: float
    gpu_hours: float
    longest_s: float
    energy_wh: float | None = None


def costs(results: Path) -> list[Cost]:
    """Add up the hours of each rule with benchmark files below a results folder, most expensive first."""
    found = []
    for folder in sorted((results / "benchmarks").glob("*")):
        files = sorted(folder.rglob("*.tsv")) if folder.is_dir() else [folder]
        seconds, logs = [_seconds(path) for path in files], [_log(results, path) for path in files]
        if files:
            hours = sum(seconds) / 3600
            gpu_hours = sum(s * _gpus(log) for s, log in zip(seconds, logs, strict=True)) / 3600
            read = [float(drawn[-1]) for log in logs if (drawn := SAID.findall(log))]
            found.append(Cost(folder.stem, len(files), hours, gpu_hours, max(seconds), sum(read) if read else None))
    return sorted(found, key=lambda cost: (-cost.gpu_hours, -cost.hours))


def _seconds(benchmark: Path) -> float:
    return float(pd.to_numeric(pd.read_csv(benchmark, sep="\t")["s"], errors="coerce").sum())


def _log(results: Path, benchmark: Path) -> str:
    """The log of the same name; empty where there is none."""
    log = results / "logs" / benchmark.relative_to(results / "benchmarks").with_suffix(".log")
    return log.read_text(errors="replace") if log.is_file() else ""


def _gpus(log: str) -> int:
    """GPUs that were reserved for a job, by its log; 0 if none were."""
    found = RESERVED.findall(log)
    return int(found[-1][1]) if found and found[-1][0] != "none" else 0


def cost_table(found: list[Cost]) -> str:
    """Write the section of analysis.md; empty without benchmark files."""
    if not found:
        return ""
    known = [cost.energy_wh for cost in found if cost.energy_wh is not None]
    together = Cost(
        "**together**", sum(cost.jobs for cost in found), sum(cost.hours for cost in found),
        sum(cost.gpu_hours for cost in found), max(cost.longest_s for cost in found), sum(known) if known else None,
    )  # fmt: skip
    energy = (
        "The energy is what a job's GPUs used while it ran, by their own counters (NVML), and leaves out "
        "processors and cooling."
        if known
        else "Its energy isn't known: no job had a GPU that counts it."
    )
    text = (
        "The time of each rule's jobs, and GPU-hours, which are that time times the GPUs reserved for them. Only a "
        "job's last attempt counts, and where that only put back what an earlier one had finished, no more than that."
    )
    header = ["rule", "jobs", "time", "GPU-hours", *(["energy (Wh)"] if known else []), "longest job"]
    rows = [_row(cost, bool(known)) for cost in [*found, together]]
    return f"## What it cost\n\n{text} {energy}\n\n{table(header, rows, right=range(1, len(header)))}"


def _row(cost: Cost, energy: bool) -> list[str]:
    cells = [cost.rule, f"{cost.jobs}", duration(3600 * cost.hours), f"{cost.gpu_hours:.2f}"]
    cells += ["" if cost.energy_wh is None else f"{cost.energy_wh:.1f}"] if energy else []
    return [*cells, duration(cost.longest_s)]
