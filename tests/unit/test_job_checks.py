"""What the report says of jobs that failed, were interrupted or haven't been done."""

import time
from pathlib import Path

import pytest

from fewshot_distillation.analysis.jobs import LISTED, check_jobs, job_lines
from fewshot_distillation.status.plan import write_plan

START = "12:00:00 python x.py\n12:00:00 on node n1, torch 2; commit 0\n"
END = "12:09:00 x.py finished in 540.0 s\n"
RESUMED = "12:00:01 continuing from .state/x\n"


def plan(folder: Path, names: str, needed: bool = True) -> Path:
    """A driver's jobs, and a log of each that says that it has ended well."""
    results = folder / "results"
    jobs = [
        {
            "rule": "write_report" if name == "z" else "train", "wildcards": {"model": name}, "needed": needed,
            "outputs": [f"results/{name}.out"], "log": f"results/logs/train/{name}.log", "benchmark": None,
        }
        for name in names
    ]  # fmt: skip
    write_plan(results, jobs, {})
    (results / "logs" / "train").mkdir(parents=True)
    for name in names:
        (results / f"{name}.out").touch()
        (results / "logs" / "train" / f"{name}.log").write_text(START + END)
    return results


def fail(folder: Path, name: str, times: int) -> None:
    """What Snakemake's own log tells of failed attempts."""
    logs = folder / ".snakemake" / "log"
    logs.mkdir(parents=True, exist_ok=True)
    moment = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(0))
    block = f"[{moment}]\nError in rule train:\n    jobid: 3\n    output: results/{name}.out\n    shell:\n        x\n"
    (logs / f"{name}.snakemake.log").write_text(block * times)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_all_went_well(here: Path):
    lines = job_lines(check_jobs(plan(here, "abz")))
    assert lines == ["- 2 jobs have left logs, all of which finished; no attempts of jobs have failed."]


def test_what_did_not_go_well_is_named(here: Path):
    results = plan(here, "abcdez")
    logs = results / "logs" / "train"
    (logs / "a.log").write_text(START + "error: out of luck\n")
    (logs / "b.log").write_text(START + RESUMED + END)
    (results / "c.out").unlink()
    fail(here, "d", 2)
    fail(here, "other", 1)  # of another study in the same folder
    (logs / "old.log").write_text(START)  # of a run that the configuration no longer has
    first, *more = job_lines(check_jobs(results))
    assert first == "- 5 jobs have left logs, 4 of which finished; 2 attempts of jobs have failed."
    assert more == [
        "- **Attempts failed** of `logs/train/d.log` (2 times).",
        "- Interrupted, and continued from saved work: `logs/train/b.log`.",
        "- **Failed, or still running when this was written**: `logs/train/a.log`.",
        "- **Not done when this was written**: `logs/train/c.log`.",
    ]


def test_what_nobody_needs_is_not_missing(here: Path):
    results = plan(here, "ab", needed=False)
    (results / "a.out").unlink()
    assert len(job_lines(check_jobs(results))) == 1


def test_jobs_that_were_started_by_hand(here: Path):
    results = plan(here, "ab")
    (results / "logs" / "plan.json").unlink()
    assert job_lines(check_jobs(results))[0].startswith("- 2 jobs have left logs, all")


def test_long_lists_are_cut(here: Path):
    names = "abcdefghijklmno"
    results = plan(here, names)
    for name in names:
        fail(here, name, 1)
    assert job_lines(check_jobs(results))[1].endswith(f" and {len(names) - LISTED} more.")


def test_without_jobs_there_is_nothing_to_say(here: Path):
    assert job_lines(check_jobs(here / "results")) == []
