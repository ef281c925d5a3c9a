"""What the study cost: hours per rule, from the benchmark files that Snakemake keeps of every job's last attempt."""

import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

# From the second line of a job's log (runtime.provenance.surroundings).
RESERVED = re.compile(r" GPU numbers (\S.*?) \((\d+) requested\)")


class Cost(NamedTuple):
    """All jobs of one rule; `gpu_hours` counts the GPUs that were reserved, busy or not."""

    rule: str
    jobs: int
    hours: float
    gpu_hours: float
    longest_s: float


def costs(results: Path) -> list[Cost]:
    """Hours of each rule that has left benchmark files below a results folder, most expensive first."""
    found = []
    for folder in sorted((results / "benchmarks").glob("*")):
        files = sorted(folder.rglob("*.tsv")) if folder.is_dir() else [folder]
        each = [(_seconds(path), _gpus(results, path)) for path in files]
        if each:
            hours, gpu_hours = sum(s for s, _ in each) / 3600, sum(s * n for s, n in each) / 3600
            found.append(Cost(folder.stem, len(each), hours, gpu_hours, max(s for s, _ in each)))
    return sorted(found, key=lambda cost: (-cost.gpu_hours, -cost.hours))


def _seconds(benchmark: Path) -> float:
    return float(pd.to_numeric(pd.read_csv(benchmark, sep="\t")["s"], errors="coerce").sum())


def _gpus(results: Path, benchmark: Path) -> int:
    """How many GPUs were reserved for a job, as the log of the same name says; none where there were none."""
    log = results / "logs" / benchmark.relative_to(results / "benchmarks").with_suffix(".log")
    said = RESERVED.findall(log.read_text(errors="replace")) if log.is_file() else []
    return int(said[-1][1]) if said and said[-1][0] != "none" else 0


def cost_table(found: list[Cost]) -> str:
    """The section of analysis.md; empty without benchmark files."""
    if not found:
        return ""
    rows = [f"| {c.rule} | {c.jobs} | {c.hours:.2f} | {c.gpu_hours:.2f} | {c.longest_s:.0f} |" for c in found]
    total = f"| **together** | {sum(c.jobs for c in found)} | {sum(c.hours for c in found):.2f} "
    total += f"| {sum(c.gpu_hours for c in found):.2f} | |"
    return "\n".join(
        [
            "## What it cost",
            "",
            "Hours of each rule's jobs, and those hours times the GPUs reserved for them. Only a job's last attempt "
            "counts, and where that only put back what an earlier one had finished, no more than that.",
            "",
            "| rule | jobs | hours | GPU-hours | longest job (s) |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            total,
        ]
    )
