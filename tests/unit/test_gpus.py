"""GPUs of one machine are shared out among jobs; names stand in for GPUs."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewshot_distillation.hardware import gpus
from fewshot_distillation.hardware.gpus import ON_CLUSTER

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
JOB = """
import os, sys
from fewshot_distillation.hardware.gpus import take_gpus
take_gpus(int(sys.argv[1]))
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path: Path):
    """Start a job on a machine with GPUs 4 and 5, until its input is closed."""
    jobs = []

    def job(requested: int, visible: str = "4,5") -> subprocess.Popen:
        environment = os.environ | {
            "PYTHONPATH": str(SCRIPTS), "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": visible,
        }  # fmt: skip
        command = [sys.executable, "-c", JOB, str(requested)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        jobs.append(subprocess.Popen(command, env=environment, **pipes))
        return jobs[-1]

    yield job
    for one in jobs:
        one.kill()
        one.communicate()


def test_each_job_has_gpus_of_its_own_until_it_ends(start):
    first, second = start(1), start(1)
    seen = [job.stdout.readline().strip() for job in (first, second)]
    assert sorted(seen) == ["4", "5"]
    third = start(1)
    assert not select.select([third.stdout], [], [], 1.5)[0], "it waits"
    second.send_signal(signal.SIGKILL)
    assert third.stdout.readline().strip() == seen[1], "the operating system has opened the lock"


def test_a_job_that_wants_several_waits_for_all_and_holds_none_meanwhile(start):
    first = start(1)
    assert first.stdout.readline().strip() == "4"
    both = start(2)
    time.sleep(1.5)
    third = start(1)
    assert third.stdout.readline().strip() == "5"
    for job in (first, third):
        job.kill()
    assert both.stdout.readline().strip() == "4,5"


def test_part_of_a_gpu_by_its_name(start):
    parts = "MIG-GPU-5c89/1/0,MIG-GPU-5c89/2/0"
    assert [start(1, parts).stdout.readline().strip() for _ in range(2)] == parts.split(",")


def test_more_than_there_are(start):
    assert start(3).stdout.readline().strip() == "4,5"


@pytest.mark.parametrize(
    ("requested", "settings"),
    [(0, {"CUDA_VISIBLE_DEVICES": "0"}), (1, {"CUDA_VISIBLE_DEVICES": "0", ON_CLUSTER: "1"}), (1, {})],
    ids=["none requested", "on a cluster", "none that can be counted"],
)
def test_where_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, requested: int, settings: dict):
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", ON_CLUSTER):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(gpus, "NVIDIA_GPUS", tmp_path / "none")
    monkeypatch.setattr(gpus, "_free", lambda *_: pytest.fail("it looks for a GPU"))
    gpus.take_gpus(requested)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == settings.get("CUDA_VISIBLE_DEVICES")


def test_amd_s_are_named_by_their_own_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv(ON_CLUSTER, raising=False)
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    gpus.take_gpus(1)
    assert os.environ["ROCR_VISIBLE_DEVICES"] == "2" and "CUDA_VISIBLE_DEVICES" not in os.environ


def test_gpus_are_counted_by_the_driver_s_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", ON_CLUSTER):
        monkeypatch.delenv(name, raising=False)
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(gpus, "NVIDIA_GPUS", tmp_path / "gpus")
    monkeypatch.setattr(gpus.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    gpus.take_gpus(2)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
