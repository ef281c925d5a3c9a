"""The teacher's cache from several processes: the same bytes as from one, whoever is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import warm
from fewshot_distillation.config.machine import Machine
from fewshot_distillation.runtime import processes
from fewshot_distillation.teacher import shards
from fewshot_distillation.teacher.shards import Shards
from tiny import study, write_dataset

ROOT = Path(__file__).resolve().parents[2]
ROWS = 600  # ten shards
TORCHRUN = ("torchrun", "--nproc_per_node", "2", "--master_port", "0")
PYTHON = (sys.executable,)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("many"), train=ROWS)[0]


def start(
    folder: Path,
    model: Path,
    train: Path,
    launcher: tuple[str, ...],
    count: int = 2,
    variables: dict[str, str] | None = None,
) -> subprocess.Popen:
    """The program that the workflow runs, in the background; what it prints goes to `<folder>/log`."""
    folder.mkdir(exist_ok=True)
    arguments = {
        "--spec": study().precompute_activations("tiny", "fewshot", "question").model_dump_json(by_alias=True),
        "--model": model / "manifest.json",
        "--train": train,
        "--machine": Machine(state=str(folder / "state"), gpus=count).model_dump_json(),
        "--output": folder / "out" / "activations.safetensors",
        "--meta": folder / "out" / "meta.json",
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = (variables or os.environ) | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PATH": path}
    with open(folder / "log", "w") as log:
        return subprocess.Popen(
            [*launcher, str(ROOT / "scripts" / "precompute_activations.py"), *words],
            stdout=log, stderr=log, env=environment,
        )  # fmt: skip


def run(folder: Path, *arguments) -> str:
    """Run to the end; what it printed."""
    code = start(folder, *arguments, variables=warm.variables()).wait(300)
    text = (folder / "log").read_text()
    assert code == 0, text[-3000:]
    return text


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / "out" / name).read_bytes() for name in ("activations.safetensors", "meta.json")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, train: Path) -> dict[str, bytes]:
    """The outputs of one process."""
    folder = tmp_path_factory.mktemp("one")
    run(folder, model_folder, train, PYTHON, 1)
    return outputs(folder)


@pytest.mark.slow
def test_as_the_workflow_launches_it(tmp_path: Path, model_folder: Path, train: Path, expected: dict):
    text = run(tmp_path, model_folder, train, PYTHON)
    assert outputs(tmp_path) == expected
    for line in ("teacher, process 1 of 2: 100%", "teacher, process 2 of 2: 100%"):
        assert line in text and text.count(" 5/5 ") == 2, "each process tells of its own part"
    # Finished work is put back for all processes, and nobody waits for one that has left already.
    (tmp_path / "out" / "meta.json").unlink()
    assert "putting its outputs back" in run(tmp_path, model_folder, train, PYTHON)
    assert outputs(tmp_path) == expected


def saved(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.glob("state/*/*/prompts-*/shard-*.safetensors")}


def killed(folder: Path, job: subprocess.Popen, shards_at_least: int, worker: int | None) -> None:
    """Kill a worker, or the launcher itself, once so many shards are there; returns when nobody is left."""
    deadline = time.monotonic() + 120
    while len(saved(folder)) < shards_at_least:
        assert job.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
        time.sleep(0.005)
    workers = [int(pid) for pid in Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()]
    assert len(workers) == 2, "two processes are at work"
    os.kill(job.pid if worker is None else workers[worker], signal.SIGKILL)
    assert job.wait(60) != 0
    while any(Path(f"/proc/{pid}/cwd").exists() for pid in workers):
        assert time.monotonic() < deadline, "a process outlives its launcher"
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_whoever_is_killed(tmp_path: Path, model_folder: Path, train: Path, expected: dict):
    kept = {}
    for number, worker in ((1, 1), (3, 0), (5, None)):
        killed(tmp_path, start(tmp_path, model_folder, train, TORCHRUN), number, worker)
        assert not (tmp_path / "out" / "activations.safetensors").exists(), "killed processes publish nothing"
        now = saved(tmp_path)
        assert kept.items() <= now.items(), "no shard is computed a second time"
        kept = now
    run(tmp_path, model_folder, train, TORCHRUN)
    assert outputs(tmp_path) == expected


@pytest.mark.slow
def test_a_launcher_that_starts_another_number_of_processes(tmp_path: Path, model_folder: Path, train: Path):
    job = start(tmp_path, model_folder, train, TORCHRUN, 3)
    assert job.wait(120) != 0
    expected = "error: expected 3 processes, one for each requested GPU, but the launcher started 2"
    assert expected in (tmp_path / "log").read_text()


@pytest.mark.parametrize(("rows", "world"), [(1, 1), (10, 1), (10, 3), (64, 2), (7, 9)])
def test_every_row_belongs_to_one_process(tmp_path: Path, monkeypatch, rows: int, world: int):
    found = []
    for rank in range(world):
        monkeypatch.setattr(shards, "RANK", rank)
        monkeypatch.setattr(shards, "WORLD_SIZE", world)
        part = Shards(tmp_path, rows, 3, "of one set of prompts")
        found += [row for shard in part.missing() for row in part.rows_of(shard)]
    assert sorted(found) == list(range(rows))


def test_a_process_without_its_launcher_stops(monkeypatch):
    monkeypatch.setattr(processes, "WORLD_SIZE", 2)
    processes.check_launcher()
    monkeypatch.setattr(processes, "LAUNCHER", -1)
    with pytest.raises(processes.JobError, match="launcher of this process is gone"):
        processes.wait_until(lambda: False)
