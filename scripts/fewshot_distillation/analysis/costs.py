"""What the study cost: hours per rule, from the benchmark files that Snakemake keeps of every job's last attempt."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd


class Cost(NamedTuple):
    """All jobs of one rule; `gpu_hours` counts the GPUs that were reserved, busy or not."""

    rule: str
    jobs: int
    hours: float
    gpu_hours: float
    longest_s: float


def costs(results: Path, reserved: dict[str, dict[str, int]]) -> list[Cost]:
    """Hours of each rule that has left benchmark files, most expensive first.

    Args:
        results: the results folder.
        reserved: GPUs of a job, by rule and model; rules that aren't there use none. They count where jobs had GPUs.
    """
    gpus = reserved if _had_gpus(results) else {}
    found = []
    for folder in sorted((results / "benchmarks").glob("*")):
        rule = folder.stem
        numbers = gpus.get(rule, {})
        each = [(seconds, max((numbers.get(part, 0) for part in parts), default=0)) for parts, seconds in _jobs(folder)]
        if each:
            hours, gpu_hours = sum(s for s, _ in each) / 3600, sum(s * n for s, n in each) / 3600
            found.append(Cost(rule, len(each), hours, gpu_hours, max(s for s, _ in each)))
    return sorted(found, key=lambda cost: (-cost.gpu_hours, -cost.hours))


def _jobs(folder: Path) -> Iterator[tuple[list[str], float]]:
    """Of each job of a rule the parts of its name, one of which is the model, and its seconds."""
    for path in sorted(folder.rglob("*.tsv")) if folder.is_dir() else [folder]:
        seconds = pd.to_numeric(pd.read_csv(path, sep="\t")["s"], errors="coerce").sum()
        parts = path.relative_to(folder.parent).with_suffix("").parts[1:]
        yield list(parts), float(seconds)


def _had_gpus(results: Path) -> bool:
    """Whether any job's record tells of a GPU that it used or that was reserved for it."""
    for path in results.rglob("*.job.json"):
        record = json.loads(path.read_text())
        if record.get("cuda_visible_devices") or not str(record.get("device", "cpu")).startswith("cpu"):
            return True
    return False


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
            "Hours of each rule's jobs, and those hours times the GPUs reserved for them. Where a job was interrupted, "
            "only its last attempt counts.",
            "",
            "| rule | jobs | hours | GPU-hours | longest job (s) |",
            "| --- | ---: | ---: | ---: | ---: |",
            *rows,
            total,
        ]
    )
