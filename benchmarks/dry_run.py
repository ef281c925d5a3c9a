"""How long `snakemake all -n --profile slurm` takes for up to 10,000 jobs: many models, λs and seeds, no weights.

python benchmarks/dry_run.py [--profile]

Prints a table, which it also writes to results/benchmarks/dry_run.csv, and what Snakemake takes at least: as many jobs
by four plain rules, without a profile, functions or settings of jobs. Exits with 1 where the largest plan takes more
than twice as long, or where time grows faster than the jobs.
"""

import argparse
import contextlib
import cProfile
import pstats
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROFILE = ("--profile", str(ROOT / "profiles" / "slurm"))
RESULT = ROOT / "results" / "benchmarks" / "dry_run.csv"
JOBS = (1_250, 2_500, 5_000, 10_000)
LIMIT = 2.0  # times what plain rules take
PLAIN = """
RUNS = [f"results/{{n}}" for n in range({runs})]
rule all:
    input: [f"{{run}}/accuracy.csv" for run in RUNS]
rule fetch:
    output: "model.json", "train.jsonl", "test.jsonl"
    shell: "fetch {{output}}"
rule train:
    input: "model.json", "train.jsonl"
    output: "{{run}}/checkpoints.json", "{{run}}/metrics.csv"
    log: "{{run}}/train.log"
    message: "Training {{wildcards.run}}"
    shell: "train {{input}} {{output}}"
rule evaluate:
    input: "model.json", "test.jsonl", "{{run}}/checkpoints.json"
    output: "{{run}}/predictions.parquet"
    log: "{{run}}/evaluate.log"
    message: "Answers of {{wildcards.run}}"
    shell: "evaluate {{input}} {{output}}"
rule score:
    input: "{{run}}/predictions.parquet", "test.jsonl"
    output: "{{run}}/accuracy.csv"
    log: "{{run}}/score.log"
    message: "Scoring {{wildcards.run}}"
    shell: "score {{input}} {{output}}"
"""
# Start-up is the same for all sizes, so a job may cost little more in the largest plan than in the one half as large.
SLACK = 1.25


def study(jobs: int) -> dict:
    """A configuration whose plan has about so many jobs: each run is trained, evaluated and scored."""
    models, lambdas = 20, [round(0.1 * n, 1) for n in range(1, 9)]
    conditions = 2 * len(lambdas) + 1
    seeds = max(1, round(jobs / 3 / models / conditions))
    names = [f"model-{n}" for n in range(models)]
    return {
        "dataset": "problems",
        "seeds": list(range(seeds)),
        "datasets": {"problems": {"source": {"generator": "word_problems", "train": 100, "test": 50, "seed": 1}}},
        "models": {name: {"source": {"hub": f"organisation/{name}", "revision": "main"}} for name in names},
        "teachers": {"fewshot": {"shots": 8}},
        "conditions": {
            "sft": {"label": "B"},
            "layerwise": {"label": "C", "target": "hidden_states", "teacher": "fewshot"},
            "logit_kl": {"label": "D", "target": "logits", "teacher": "fewshot"},
        },
        "schedules": {"full": {"max_steps": 1000, "checkpoints": [500, 1000]}},
        "studies": {
            "plain": {"models": names, "conditions": ["sft"], "schedules": ["full"]},
            "sweep": {
                "models": names,
                "conditions": ["layerwise", "logit_kl"],
                "schedules": ["full"],
                "lambdas": lambdas,
            },
        },
    }


def command(folder: Path, jobs: int) -> list[str]:
    (folder / "workflow_config.yaml").write_text(yaml.safe_dump(study(jobs)))
    return ["-s", str(ROOT / "Snakefile"), "--directory", str(folder), *PROFILE, "-n", "--quiet", "all"]


def plain(folder: Path, jobs: int) -> list[str]:
    """A plan of about so many jobs by plain rules."""
    (folder / "Snakefile").write_text(PLAIN.format(runs=round(jobs / 3)))
    return ["--directory", str(folder), "-s", str(folder / "Snakefile"), "-n", "--quiet", "all"]


def dry_run(jobs: int, planned: Callable[[Path, int], list[str]] = command) -> tuple[int, float]:
    """The number of jobs in the plan, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = planned(Path(folder), jobs)
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-m", "snakemake", *arguments], capture_output=True, text=True)
        seconds = time.perf_counter() - start
    output = done.stdout + done.stderr
    found = re.search(r"^total +(\d+)$", output, re.M)
    if done.returncode or found is None:
        sys.exit(output[-3000:])
    return int(found.group(1)), seconds


def profile(jobs: int) -> None:
    from snakemake.cli import main

    with tempfile.TemporaryDirectory() as folder, cProfile.Profile() as recorded, contextlib.suppress(SystemExit):
        main(command(Path(folder), jobs))
    pstats.Stats(recorded).sort_stats("cumulative").print_stats(60)


def run() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="profile the largest plan instead")
    if parser.parse_args().profile:
        return profile(JOBS[-1])
    print(f"{'jobs':>8}{'seconds':>10}{'ms a job':>10}")
    measured = []
    for jobs in JOBS:
        planned, seconds = dry_run(jobs)
        measured.append((planned, seconds))
        print(f"{planned:>8}{seconds:>10.1f}{1000 * seconds / planned:>10.2f}", flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text("jobs,seconds\n" + "".join(f"{planned},{seconds:.1f}\n" for planned, seconds in measured))
    (half, half_s), (full, full_s) = measured[-2:]
    bare, least = dry_run(full, plain)
    print(f"plain rules: {bare} jobs in {least:.1f} s; the largest plan took {full_s / least:.2f} times as long")
    if full_s > LIMIT * least or full_s / full > SLACK * half_s / half:
        sys.exit(f"too slow: {full} jobs took {full_s:.1f} s, {half} jobs {half_s:.1f} s")


if __name__ == "__main__":
    run()
