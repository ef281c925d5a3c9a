"""Whatever ends a job, it continues where it had saved its state, and the bytes agree."""

import shlex
import shutil
import time
from pathlib import Path

import pytest

from faults import assert_same, finish, states
from project import Project
from slurm import GPUS, wait_until
from study import TRAINED, ClusterProject

GREEDY = Path(__file__).with_name("greedy")


def test_job_cancelled(prepared: ClusterProject, undisturbed: Project):
    driver = prepared.start_training()
    (job,) = prepared.active("RUNNING", rule="train")
    prepared.slurm.run("scancel", job["JobId"])
    saved = prepared.saved_step()
    output = finish(driver, prepared)
    assert states(prepared) == ["CANCELLED", "COMPLETED"]
    assert prepared.resumed_at() >= saved
    assert "Logfile results/logs/train/tiny/layerwise-0.5-42-long.log" in output and "train layerwise:" in output
    assert_same(prepared, undisturbed)


def test_job_over_its_time_limit(prepared: ClusterProject, undisturbed: Project):
    """It continues, with twice the time."""
    driver = prepared.start_training()
    (job,) = prepared.active("RUNNING", rule="train")
    # Slurm counts in minutes and looks every half of one; this says the minutes are over.
    prepared.slurm.run("scontrol", "update", f"JobId={job['JobId']}", "EndTime=now+5seconds")
    saved = prepared.saved_step()
    finish(driver, prepared)
    assert states(prepared) == ["TIMEOUT", "COMPLETED"]
    assert [job["TimeLimit"] for job in prepared.jobs("train")][1] == "16:00:00"
    assert prepared.resumed_at() >= saved
    assert_same(prepared, undisturbed)


def test_job_over_its_memory(prepared: ClusterProject, undisturbed: Project, monkeypatch: pytest.MonkeyPatch):
    """It is killed in its middle, and continues with twice the memory, which is enough."""
    text = (prepared.folder / "slurm" / "config.yaml").read_text()
    head, _, tail = text.partition("  train:")
    (prepared.folder / "slurm" / "config.yaml").write_text(
        f"{head}  train:{tail.replace('64000 * attempt', '1500 * attempt', 1)}"
    )
    monkeypatch.setenv("PYTHONPATH", str(GREEDY))
    prepared.run(TRAINED, fresh=True)
    killed, *_, done = states(prepared)
    assert killed in ("OUT_OF_MEMORY", "FAILED", "CANCELLED") and done == "COMPLETED"
    assert [job["MinMemoryNode"] for job in prepared.jobs("train")] == ["1500M", "3000M"]
    first, last = prepared.training_began().values()
    assert first == 0 and last >= 4, "greedy from the fourth step on"
    assert_same(prepared, undisturbed)


def test_job_preempted(prepared: ClusterProject, undisturbed: Project):
    """An urgent job takes the GPUs; Slurm puts ours back into the queue, and Snakemake waits."""
    driver = prepared.start_training()
    wrap = ["-p", "urgent", f"--gpus=a100:{GPUS}", "-o", "/dev/null", "--wrap", "sleep 1"]
    prepared.slurm.run("sbatch", *wrap)
    wait_until(lambda: prepared.jobs("train")[0]["Restarts"] == "1", "the preemption", 60)
    saved = prepared.saved_step()
    # Slurm would leave it alone for two minutes.
    wait_until(lambda: prepared.jobs("train")[0]["JobState"] == "PENDING", "the place in the queue", 60)
    prepared.slurm.run("scontrol", "update", f"JobId={prepared.jobs('train')[0]['JobId']}", "StartTime=now")
    finish(driver, prepared)
    assert states(prepared) == ["COMPLETED"]
    assert prepared.resumed_at() >= saved
    assert_same(prepared, undisturbed)


def test_node_daemon_killed_and_restarted(prepared: ClusterProject, undisturbed: Project):
    driver = prepared.start_training()
    prepared.slurm.kill("slurmd")
    assert prepared.active("RUNNING", rule="train")
    prepared.slurm.start_slurmd()
    prepared.thaw()
    finish(driver, prepared)
    assert states(prepared) == ["COMPLETED"], "the job has gone on meanwhile"
    assert prepared.resumed_at() == 0
    assert_same(prepared, undisturbed)


def test_controller_killed_and_restarted(prepared: ClusterProject, undisturbed: Project):
    """The driver asks until it gets an answer, and has forgotten none of its jobs."""
    driver = prepared.start_training()
    asked, squeue = prepared.folder / "asked", prepared.slurm.folder / "bin" / "squeue"
    # The real one takes nine seconds to give up.
    squeue.write_text(f'#!/bin/sh\necho >> {shlex.quote(str(asked))}\nexec timeout 1 {shutil.which("squeue")} "$@"\n')
    squeue.chmod(0o755)
    prepared.slurm.kill("slurmctld")
    asked.unlink(missing_ok=True)
    wait_until(lambda: asked.exists() and len(asked.read_text()) > 7, "vain questions", 60)
    prepared.slurm.start_slurmctld()
    squeue.unlink()
    prepared.thaw()
    finish(driver, prepared)
    assert states(prepared) == ["COMPLETED"] and prepared.resumed_at() == 0
    assert_same(prepared, undisturbed)


def test_node_lost(prepared: ClusterProject, undisturbed: Project):
    """Slurm gives it up and puts its job back into the queue, where it continues when the node is there again."""
    driver = prepared.start_training()
    saved = prepared.saved_step()
    prepared.slurm.kill("slurmd")
    parents = {parent for process in prepared.processes() for parent in process.parents()}
    watching = [parent for parent in parents if parent.name() == "slurmstepd"]  # each outlives the node's daemon
    assert len(watching) == 2, "of the job and of its step"
    for process in watching:
        process.kill()
    prepared.kill_all(sparing=driver.pid)
    prepared.slurm.run("scontrol", "update", "NodeName=node1", "State=DOWN", "Reason=test")
    wait_until(lambda: prepared.jobs("train")[0]["JobState"] == "PENDING", "the place in the queue", 60)
    prepared.slurm.start_slurmd()
    # Slurm would wait two minutes: its order to end the first attempt must not reach the second.
    time.sleep(6)
    prepared.slurm.run("scontrol", "update", f"JobId={prepared.jobs('train')[0]['JobId']}", "StartTime=now")
    finish(driver, prepared)
    assert states(prepared) == ["COMPLETED"] and prepared.jobs("train")[0]["Restarts"] == "1"
    assert prepared.resumed_at() >= saved
    assert_same(prepared, undisturbed)
