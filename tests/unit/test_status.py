"""How far a study is, from files that drivers and jobs leave behind."""

import json
import os
import time
from pathlib import Path

import pytest

from fewshot_distillation.errors import JobError
from fewshot_distillation.runtime.lock import Lock, look
from fewshot_distillation.status import states
from fewshot_distillation.status.logs import read_tail
from fewshot_distillation.status.orphans import QueuedJob
from fewshot_distillation.status.plan import plan_file, read_plan, write_plan
from fewshot_distillation.status.states import status
from fewshot_distillation.status.text import described, duration

BAR = "12:00:20 train sft:  42%|....      | 420/1000 [01:23<01:56,  5.00step/s]\n"
START = "12:00:00 python train.py\n12:00:00 on node n7, Slurm job 81, torch 2; commit 0\n"
END = "12:09:00 train.py finished in 540.0 s\n"


class Results:
    """A results folder with a plan of training jobs, and what they have left behind so far."""

    def __init__(self, folder: Path, names: str, done_before: str = "") -> None:
        self.folder, self.results = folder, folder / "results"
        os.chdir(folder)
        jobs = [
            {
                "rule": "train",
                "wildcards": {"model": "tiny", "condition": name},
                "outputs": [f"results/{name}.out"],
                "log": f"results/logs/train/{name}.log",
                "benchmark": f"results/benchmarks/train/{name}.tsv",
                "needed": name not in done_before,
            }
            for name in names
        ]
        studies = {("tiny", name, None, None, None): ["main"] for name in names}
        write_plan(self.results, jobs, studies)
        for name in done_before:
            (self.results / f"{name}.out").touch()

    def log(self, name: str, text: str, ago: float = -1) -> None:
        path = self.results / "logs" / "train" / f"{name}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (time.time() - ago, time.time() - ago))

    def finish(self, name: str, seconds: float = 100) -> None:
        self.log(name, START + END)
        (self.results / f"{name}.out").touch()
        path = self.results / "benchmarks" / "train" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0\n")

    def states(self) -> dict[str, str]:
        found = status(read_plan(self.results), self.results)
        return {job.planned.wildcards["condition"]: job.state for job in found.jobs}

    def text(self) -> str:
        return described(status(read_plan(self.results), self.results))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))  # no squeue
    return tmp_path


def test_a_job_without_a_log_is_done_when_its_mark_is_there(here: Path):
    study = Results(here, "ab")
    content = json.loads(plan_file(study.results).read_text())
    for job in content["jobs"]:
        job["log"] = None
    plan_file(study.results).write_text(json.dumps(content))
    old, new = study.results / "a.out", study.results / "b.out"
    old.touch()
    os.utime(old, (content["since"] - 5, content["since"] - 5))
    assert study.states() == {"a": "waiting", "b": "waiting"}, "a mark of an earlier time doesn't count"
    new.touch()
    assert study.states() == {"a": "waiting", "b": "done"}


def test_states_of_jobs(here: Path):
    study = Results(here, "abcdef", done_before="a")
    study.finish("b")
    study.log("c", START + BAR)
    study.log("d", START + "error: out of luck\n")
    study.log("e", START + END, ago=3600)  # of an earlier driver, whose outputs are stale
    (study.results / "e.out").touch()
    lock = Lock(study.results / ".state" / "driver.lease")
    assert lock.acquire(wait=False)
    expected = {"a": "done", "b": "done", "c": "running", "d": "failed", "e": "waiting", "f": "waiting"}
    assert study.states() == expected
    text = study.text()
    assert f"A driver is running: process {os.getpid()}" in text
    assert "train tiny c | train sft: 420 of 1000, 5.00step/s" in text and "on n7, Slurm job 81" in text
    assert "train tiny d | results/logs/train/d.log" in text
    line = next(line for line in text.splitlines() if line.startswith("  study main"))
    assert line.split() == ["study", "main", "2", "1", "2", "1", "6"]
    # Two wait for 100 s each, as long as the one took that has ended; the one that runs says itself 1:56.
    assert "Time left: about 5 min with 1 at a time." in text
    assert lock.held()
    lock.release()
    assert "No driver is running" in study.text()


def test_a_job_without_a_driver_runs_while_it_writes(here: Path):
    study = Results(here, "ab")
    study.log("a", START + BAR)
    assert study.states()["a"] == "running"
    plan = json.loads(plan_file(study.results).read_text())
    plan_file(study.results).write_text(json.dumps(plan | {"since": plan["since"] - 4000}))
    study.log("b", START + BAR, ago=states.SILENT + 60)
    assert study.states() == {"a": "running", "b": "stopped"}


def test_what_snakemake_calls_an_error_has_failed(here: Path):
    """A job that was killed says nothing itself."""
    study = Results(here, "ab")
    for name in "ab":
        study.log(name, START + BAR, ago=0)
    folder = here / ".snakemake" / "log"
    folder.mkdir(parents=True)
    moment = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(time.time() + 2))
    (folder / "1.snakemake.log").write_text(
        f"[{moment}]\nError in rule train:\n    jobid: 3\n    output: results/b.out\n    shell:\n        x\n"
    )
    assert study.states() == {"a": "running", "b": "failed"}
    assert "train tiny b | results/logs/train/b.log, interrupted or killed" in study.text()


def test_jobs_in_slurms_queue(here: Path, monkeypatch: pytest.MonkeyPatch):
    study = Results(here, "abc")
    queue = [
        QueuedJob("81", "RUNNING", "", "n7", "rule_train_wildcards_tiny_a", str(here.resolve())),
        QueuedJob("82", "PENDING", "", "", "rule_train_wildcards_tiny_b", str(here.resolve())),
        QueuedJob("83", "PENDING", "", "", "rule_train_wildcards_tiny_c", "/elsewhere"),
    ]
    monkeypatch.setattr(states, "queue", lambda: queue)
    assert study.states() == {"a": "running", "b": "waiting", "c": "waiting"}
    assert "In Slurm's queue: 1 PENDING" in study.text()


def test_a_job_without_wildcards_is_found_in_slurms_queue(here: Path, monkeypatch: pytest.MonkeyPatch):
    job = {
        "rule": "aggregate",
        "wildcards": {},
        "outputs": ["results/summary.json"],
        "log": "results/logs/aggregate.log",
    }
    write_plan(here / "results", [job | {"benchmark": None, "needed": True}], {})
    queue = [QueuedJob("84", "PENDING", "", "", "rule_aggregate", str(here.resolve()))]
    monkeypatch.setattr(states, "queue", lambda: queue)
    assert "In Slurm's queue: 1 PENDING" in described(status(read_plan(here / "results"), here / "results"))


def test_before_anything_was_started(here: Path):
    with pytest.raises(JobError, match="nothing has been started in results yet"):
        read_plan(Path("results"))


def test_everything_is_done(here: Path):
    study = Results(here, "ab", done_before="ab")
    assert "Everything is done." in study.text() and "Time left" not in study.text()


@pytest.mark.parametrize(
    ("line", "done", "left"),
    [
        (BAR, 420, 116),
        (BAR.replace("01:56", "2:00:01"), 420, 7201),
        (BAR.replace("01:56", "?"), 420, None),
        ("", None, None),
    ],
)
def test_progress_is_read_as_it_is_written(tmp_path: Path, line: str, done: int | None, left: float | None):
    log = tmp_path / "a.log"
    log.write_text(START + line)
    assert read_tail(log)[3:6] == (done, done and 1000, left)


def test_progress_of_the_programs_themselves(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """The line that `progress` writes is one that can be read."""
    from fewshot_distillation.runtime.progress import progress

    with caplog.at_level("INFO", logger="fewshot_distillation"):
        list(progress(range(3, 8), "train sft", 7, 2, "step", every=0))
    (tmp_path / "a.log").write_text("\n".join(f"12:00:00 {record.message}" for record in caplog.records))
    tail = read_tail(tmp_path / "a.log")
    assert (tail.what, tail.done, tail.total) == ("train sft", 7, 7)


def test_looking_at_a_lock_leaves_it_alone(tmp_path: Path):
    assert look(tmp_path / "none") is None and not (tmp_path / "none").exists()
    lock = Lock(tmp_path / "lock")
    assert lock.acquire(wait=False)
    before = lock.path.read_bytes()
    assert look(lock.path).startswith(f"process {os.getpid()} on ")
    assert lock.path.read_bytes() == before and lock.held()
    lock.release()
    assert look(lock.path) is None and not lock.path.exists()


def test_durations_as_people_say_them():
    assert [duration(s) for s in (9, 70, 400, 7260, 190000)] == ["9 s", "1 min 10 s", "6 min", "2 h 1 min", "2 d 4 h"]
