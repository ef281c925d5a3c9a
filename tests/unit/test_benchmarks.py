"""The comparisons run, and say what they measured; what they measure is for machines that do nothing else."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def outputs(folder: Path) -> dict[str, list[dict[str, str]]]:
    found = {}
    for path in folder.glob("*.csv"):
        with open(path, newline="") as file:
            found[path.stem] = list(csv.DictReader(file))
    return found


@pytest.mark.slow
def test_all_comparisons_in_small(tmp_path: Path):
    """`make bench-gpu` from beginning to end, on a tiny model and whatever device there is."""
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--smoke", "--output", tmp_path]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    tables = outputs(tmp_path)
    assert [row["what"] for row in tables["teacher"]] == ["teacher, per_example", "teacher, fixed"]
    assert {row["what"] for row in tables["training"]} >= {"sft", "layerwise", "logit_kl", "answer_kl"}
    assert len(tables["evaluation"]) == 2
    assert all(float(row["ours"].replace(",", "")) > 0 and row["of peak"] for rows in tables.values() for row in rows)
    # With a shared beginning there is less to read, on any machine.
    assert float(tables["teacher"][1]["ratio"]) > 1
    assert float(tables["evaluation"][0]["ratio"]) > 0 and "values differ by" in (tmp_path / "teacher.md").read_text()


SUMS = """
import sys; sys.path.insert(0, {folder!r})
import measuring
turns = []
def way(name, seconds):
    def once():
        turns.append(name)
        return seconds.pop(0), 2
    return measuring.Way(name, once, flops=1e9)
ours, peer = way("ours", [9.0, 1.0, 2.0, 4.0]), way("peer", [9.0, 4.0, 6.0, 8.0])
measuring.in_turn([ours, peer], rounds=3)
print(turns == ["ours", "peer"] * 4, measuring.compared("what", "ms", ours, peer, peak=2e9))
"""


def test_ratios_are_of_pairs_of_rounds():
    """Medians of rounds without the first; ratios 4, 3 and 2 of rounds that were made one after another."""
    code = SUMS.format(folder=str(ROOT / "benchmarks"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    row = {
        "what": "what", "unit": "ms", "ours": "1e+03", "peer": "peer", "of peer": "3e+03", "ratio": "3.00",
        "spread": "2.00–4.00", "GFLOP/s": "1", "of peak": "50%",
    }  # fmt: skip
    assert done.stdout.strip() == f"True {row}", done.stderr
