"""What was edited while jobs wait in the queue."""

import copy
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from faults import PATIENCE, assert_same, finish, states
from project import Project, copy_of_workflow
from slurm import wait_until
from study import TRAINED, ClusterProject

OTHER = "results/runs/tiny/layerwise/lambda0.1/seed42/short/checkpoints/manifest.json"


@pytest.fixture
def waiting(prepared: ClusterProject, busy: str, tmp_path: Path) -> tuple[ClusterProject, subprocess.Popen]:
    """A job in the queue, and the driver that submitted it, of a workflow whose code a test may edit."""
    prepared.source = copy_of_workflow(tmp_path / "workflow")
    prepared.use_profile({"retries: 2": "retries: 0"})
    driver = prepared.start(TRAINED)
    wait_until(lambda: prepared.active("PENDING", rule="train"), "a job in the queue", PATIENCE)
    return prepared, driver


def edit_loss(project: ClusterProject, file: str, old: str, new: str) -> None:
    path = project.source / "scripts" / "fewshot_distillation" / "student" / "losses" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_configuration_edited_while_a_job_waits(waiting, undisturbed: Project, busy: str):
    """The job does what was submitted, and the next plan knows that this isn't what is wanted now.

    A comment and another condition's loss don't stop it either.
    """
    project, driver = waiting
    edited = copy.deepcopy(project.config)
    edited["training"]["default"]["learning_rate"] = 0.5
    (project.folder / "workflow_config.yaml").write_text("training: {learning_rate: ")  # half of it is saved
    edit_loss(project, "hidden_states/layerwise.py", '"""', '# A comment.\n"""')
    edit_loss(project, "logits/forward_kl.py", "temperature**2", "temperature")
    project.slurm.run("scancel", busy)
    finish(driver, project)
    assert states(project) == ["COMPLETED"]
    assert_same(project, undisturbed)
    project.configure(edited)
    assert project.planned(TRAINED)["train"] == 1, "to be trained again with the new rate"
    project.configure(undisturbed.config)
    assert not project.planned(TRAINED)


def test_loss_edited_while_a_job_waits(waiting, busy: str):
    """The job stops with a sentence that says why."""
    project, driver = waiting
    edit_loss(project, "hidden_states/layerwise.py", "squared.sum(1)", "2 * squared.sum(1)")
    project.slurm.run("scancel", busy)
    assert driver.wait(PATIENCE) != 0
    log = (project.folder / "driver.log").read_text()
    assert "student/losses/hidden_states/layerwise.py was edited after this job had been submitted" in log
    assert not project.path("runs").exists()


def test_job_that_never_began_leaves_what_was_there_stale(project: ClusterProject, undisturbed: Project, busy: str):
    """Outputs of an older configuration don't pass for those of a job that was cancelled in the queue.

    They don't either where the driver is killed while it goes on with other jobs.
    """
    project.take(undisturbed, "models", "data", "baselines", "icl_gap", "teachers", "runs")
    edited = copy.deepcopy(project.config)
    edited["training"]["default"]["learning_rate"] = 0.5
    project.configure(edited)
    project.use_profile({"retries: 2": "retries: 0"})
    driver = project.start(TRAINED, OTHER)
    wait_until(lambda: len(project.active("PENDING", rule="train")) == 2, "jobs in the queue", PATIENCE)
    project.slurm.run("scancel", *(job["JobId"] for job in project.jobs("train") if "long" in job["Comment"]))
    wait_until(lambda: "Error in rule train" in (project.folder / "driver.log").read_text(), "the failure")
    time.sleep(2)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert project.planned(TRAINED)["train"] == 1
