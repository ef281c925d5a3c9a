"""Another workflow uses this one as a module and sends its jobs to the cluster, set up as docs/cluster.md says."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from faults import PATIENCE
from fewshot_distillation.status.orphans import orphans
from project import HOSTILE_FOLDER, pwned, tiny_config, write_user_of_module
from slurm import Slurm, wait_until
from study import HERE, PROFILE, ClusterProject


@pytest.fixture
def folder(tmp_path: Path, tiny_source: Path) -> Path:
    """The other workflow, with the profile in which rules bear the module's prefix."""
    config = tiny_config(tiny_source)
    config["models"]["tiny"]["gpus"] = {"train": 2}
    write_user_of_module(tmp_path, config, HOSTILE_FOLDER)
    profile = yaml.safe_load(PROFILE.read_text())
    for key in ("set-resources", "set-threads"):
        profile[key] = {f"study_{rule}": value for rule, value in profile[key].items()}
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    return tmp_path


def start(folder: Path) -> subprocess.Popen:
    """With fewer GPUs than the model asks for, which a job is told."""
    command = [sys.executable, str(HERE / "impatient.py"), "--profile", "slurm", "--resources", "gpu=1"]
    command += ["--", "study_train_sft_0_tiny"]
    with open(folder / "driver.log", "a") as log:
        return subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)


def jobs(folder: Path, slurm: Slurm) -> list[dict[str, str]]:
    mine = [job for job in slurm.jobs() if Path(job["WorkDir"]) == folder]
    return sorted(mine, key=lambda job: int(job["JobId"]))


def test_another_workflow_sends_this_one_to_the_cluster(folder: Path, slurm: Slurm, busy: str):
    """Into a folder that a shell would misread; its driver is killed, and the next one needs no help."""
    first = start(folder)
    wait_until(lambda: jobs(folder, slurm), "a job in the queue", PATIENCE)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert [job.number for job in orphans(folder, folder / HOSTILE_FOLDER)] == [jobs(folder, slurm)[0]["JobId"]]
    second = start(folder)
    wait_until(lambda: len(jobs(folder, slurm)) == 2, "another job in the queue", PATIENCE)
    slurm.run("scancel", busy)
    second.wait(PATIENCE)
    assert second.returncode == 0, (folder / "driver.log").read_text()[-4000:]
    late, job = jobs(folder, slurm)
    assert (job["rule"], job["JobState"], job["JOB_GRES"]) == ("study_train", "COMPLETED", "gpu:a100:1")
    wait_until(lambda: jobs(folder, slurm)[0]["JobState"] == "FAILED", "the end of the first job, which came too late")
    assert "another has taken over its work" in (folder / late["StdOut"]).read_text()
    (log,) = (folder / HOSTILE_FOLDER / "logs/train").rglob("*.log")
    assert re.search(rf"Slurm job {job['JobId']}, GPU numbers \d \(1 requested\)", log.read_text())
    assert not pwned(folder)


def test_handlers_that_replace_those_of_the_module_are_found_out(folder: Path, slurm: Slurm):
    with open(folder / "Snakefile", "a") as snakefile:
        snakefile.write("onstart:\n    print('mine')\n")
    driver = start(folder)
    assert driver.wait(PATIENCE) != 0
    # Models and data are fetched first, on the driver's own machine.
    assert "call study.onstart() in `onstart:`" in (folder / "driver.log").read_text() and not jobs(folder, slurm)


def test_a_folder_that_a_cluster_would_misread_is_refused(tmp_path: Path, tiny_source: Path, slurm: Slurm):
    project = ClusterProject(tmp_path / "o'brien", tiny_config(tiny_source), slurm)
    assert "choose folders without quotes" in project.run("train_sft_0_tiny", check=False)
    assert not project.jobs()
