"""The jobs of a target and what is done of them, as Snakemake itself sees it."""

import csv
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..runtime.errors import JobError

Files = tuple[list[str], str | None]
WILDCARD = re.compile(r"\{(\w+)(?:,[^{}]*(?:\{[^{}]*\}[^{}]*)*)?\}")


@dataclass(frozen=True)
class Job:
    """One job: `done` if Snakemake would not run it; `benchmark` is the file of its last attempt."""

    rule: str
    wildcards: dict[str, str]
    done: bool
    benchmark: Path | None


def jobs_of(arguments: list[str], files: dict[str, Files]) -> list[Job]:
    """List the jobs of a Snakemake command by its `--summary`.

    Args:
        arguments: of the command, with its targets.
        files: for each rule the paths of its outputs and of its benchmark file (or None), with wildcards.

    Raises:
        JobError: Snakemake fails, and why.
    """
    command = [sys.executable, "-m", "snakemake", *arguments, "--summary"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise JobError(f"the study can't be planned: {done.stderr.strip()[-2000:]}")
    lines = done.stdout.splitlines()
    header = next(n for n, line in enumerate(lines) if line.startswith("output_file\t"))
    return list(_jobs(list(csv.DictReader(lines[header:], delimiter="\t")), files))


def _jobs(rows: list[dict[str, str]], files: dict[str, Files]) -> Iterator[Job]:
    """Group a summary's files by the jobs that write them."""
    patterns = {rule: [_expression(path) for path in outputs] for rule, (outputs, _) in files.items()}
    found: dict[tuple[str, tuple[tuple[str, str], ...]], list[str]] = {}
    for row in rows:
        matches = (expression.fullmatch(row["output_file"]) for expression in patterns.get(row["rule"], []))
        if match := next((match for match in matches if match), None):
            found.setdefault((row["rule"], tuple(match.groupdict().items())), []).append(row["plan"])
    for (rule, wildcards), plans in found.items():
        named = dict(wildcards)
        _, benchmark = files[rule]
        path = Path(WILDCARD.sub(lambda match, named=named: named[match[1]], benchmark)) if benchmark else None
        yield Job(rule, named, set(plans) == {"no update"}, path)


def _expression(pattern: str) -> re.Pattern[str]:
    """A path with wildcards as a regular expression."""
    text, seen, last = "", set(), 0
    for match in WILDCARD.finditer(pattern):
        text += re.escape(pattern[last : match.start()])
        text += f"(?P={match[1]})" if match[1] in seen else f"(?P<{match[1]}>[^/]+)"
        seen.add(match[1])
        last = match.end()
    return re.compile(text + re.escape(pattern[last:]))


def seconds(benchmark: Path, processor: bool) -> float | None:
    """Return the seconds of a job's last attempt, of its processors if asked for; None if it left none.

    Snakemake looks at the processors' time twice a second for 15 s, and then every 30 s: what a job took after the last
    look is added in proportion.
    """
    try:
        with open(benchmark, newline="") as file:
            (row,) = csv.DictReader(file, delimiter="\t")
        took = float(row["s"])
        return float(row["cpu_time"]) * took / _last_look(took) if processor else took
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        return None


def _last_look(took: float) -> float:
    """When Snakemake last looked at a job that took so many seconds."""
    return took // 0.5 * 0.5 if took < 15 else 15 + (took - 15) // 30 * 30
