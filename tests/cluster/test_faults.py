"""Whatever dies, the same command continues, no step is done twice beyond the last saved state, and the bytes agree."""

import contextlib
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import HALF_A_FILE, ROOT, Project, copy_of_workflow
from slurm import GPUS, Slurm, wait_until
from study import ANSWERED, RUN, TRAINED, ClusterProject, declared

EARLIER = ("teachers/**/*.safetensors", "icl_gap/**/predictions.parquet")
WANTED = ("runs/**/adapter_model.safetensors", "runs/**/adapter_config.json", "runs/**/predictions.parquet")
PATIENCE = 240


@pytest.fixture
def prepared(project: ClusterProject, undisturbed: Project) -> ClusterProject:
    """Everything that the long run needs is there."""
    return project.copy_of(undisturbed, "models", "data", "icl_gap", "teachers")


@pytest.fixture
def busy(slurm: Slurm) -> Iterator[str]:
    """Somebody else's job has all GPUs; its number."""
    number = slurm.run(
        "sbatch", "--parsable", "-p", "gpu", f"--gpus=a100:{GPUS}", "-o", "/dev/null", "--wrap", "sleep 600"
    )
    yield number.strip()
    slurm.run("scancel", number.strip(), check=False)


def assert_same(project: ClusterProject, undisturbed: Project, *patterns: str) -> None:
    """What is there is what the undisturbed run has, byte for byte."""
    expected, found = undisturbed.digests(*WANTED, *patterns), project.digests(*WANTED, *patterns)
    assert f"{RUN}/checkpoints/checkpoint-100/adapter_model.safetensors" in found
    assert found == {name: expected[name] for name in found}


def states(project: ClusterProject, rule: str = "train") -> list[str]:
    return [job["JobState"] for job in project.jobs(rule)]


def finish(driver: subprocess.Popen, project: ClusterProject) -> str:
    """Wait for a driver to end well; what it has written."""
    driver.wait(PATIENCE)
    text = (project.folder / "driver.log").read_text()
    assert driver.returncode == 0, text[-4000:]
    return text


def training_log(project: ClusterProject) -> str:
    # Snakemake deletes it before each attempt.
    log = project.path("logs", "train", "tiny", "layerwise-0.5-42-long.log")
    return log.read_text() if log.exists() else ""


def orphans(project: ClusterProject, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / "orphans.py"), "--directory", str(project.folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_driver_killed(prepared: ClusterProject, undisturbed: Project):
    """The job that outlives its driver does the work; the one that is submitted again waits for it."""
    driver = prepared.start_training()
    driver.kill()
    driver.wait()
    assert prepared.active("RUNNING", rule="train"), "the job outlives its driver"
    assert " train " in orphans(prepared)
    driver = prepared.start(TRAINED)
    wait_until(lambda: "waiting for another process" in training_log(prepared), "a second job that waits", 60)
    prepared.thaw()
    finish(driver, prepared)
    assert "putting its outputs back" in training_log(prepared)
    assert states(prepared) == ["COMPLETED", "COMPLETED"]
    assert_same(prepared, undisturbed)


def test_driver_killed_while_its_job_waits(prepared: ClusterProject, undisturbed: Project, busy: str):
    """A job that starts after another driver has taken over stops by itself; a helper lists and cancels such jobs."""
    for _ in range(2):
        driver = prepared.start(TRAINED)
        wait_until(lambda: prepared.active("PENDING", rule="train"), "a job in the queue", 120)
        driver.kill()
        driver.wait()
        first = prepared.jobs("train")[0]["JobId"]
        assert orphans(prepared).split()[0] in [job["JobId"] for job in prepared.active()]
        if len(prepared.jobs("train")) == 1:
            orphans(prepared, "--cancel")
            wait_until(lambda: not prepared.active(), "the end of the orphan")
            assert states(prepared) == ["CANCELLED"] and "no orphaned jobs" in orphans(prepared)
    driver = prepared.start(TRAINED)
    wait_until(lambda: len(prepared.active("PENDING", rule="train")) == 2, "the job of the next driver", 120)
    second = prepared.jobs("train")[1]
    assert first != second["JobId"] and [line.split()[0] for line in orphans(prepared).splitlines()] == [
        second["JobId"]
    ]
    prepared.slurm.run("scancel", busy)
    finish(driver, prepared)
    wait_until(lambda: not prepared.active(), "the end of all jobs", 60)
    assert states(prepared) == ["CANCELLED", "FAILED", "COMPLETED"]
    assert "another has taken over its work since" in Path(second["StdOut"]).read_text()
    assert_same(prepared, undisturbed)


def test_driver_interrupted(prepared: ClusterProject, undisturbed: Project):
    """Ctrl-C cancels the jobs."""
    driver = prepared.start_training()
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(PATIENCE) != 0
    wait_until(lambda: not prepared.active(), "the end of its jobs", 60)
    saved = prepared.saved_step()
    prepared.run(TRAINED)
    assert states(prepared) == ["CANCELLED", "COMPLETED"]
    assert prepared.resumed_at() == saved
    assert_same(prepared, undisturbed)


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
    prepared.slurm.run("scontrol", "update", f"JobId={job['JobId']}", "EndTime=now")
    saved = prepared.saved_step()
    finish(driver, prepared)
    assert states(prepared) == ["TIMEOUT", "COMPLETED"]
    assert [job["TimeLimit"] for job in prepared.jobs("train")][1] == "16:00:00"
    assert prepared.resumed_at() >= saved
    assert_same(prepared, undisturbed)


def test_job_over_its_memory(prepared: ClusterProject, undisturbed: Project):
    """It is killed, and does the work with twice the memory."""
    text = (prepared.folder / "slurm" / "config.yaml").read_text()
    head, _, tail = text.partition("  train:")
    (prepared.folder / "slurm" / "config.yaml").write_text(
        f"{head}  train:{tail.replace('64000 * attempt', '400 * attempt ** 2', 1)}"
    )
    prepared.run(TRAINED)
    assert states(prepared)[0] in ("OUT_OF_MEMORY", "FAILED", "CANCELLED") and states(prepared)[-1] == "COMPLETED"
    assert [job["MinMemoryNode"] for job in prepared.jobs("train")][:2] == ["400M", "1600M"]
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


@pytest.fixture
def waiting(prepared: ClusterProject, busy: str, tmp_path: Path) -> tuple[ClusterProject, subprocess.Popen]:
    """A job in the queue, and the driver that submitted it, of a workflow whose code a test may edit."""
    prepared.source = copy_of_workflow(tmp_path / "workflow")
    prepared.use_profile({"retries: 2": "retries: 0"})
    driver = prepared.start(TRAINED)
    wait_until(lambda: prepared.active("PENDING", rule="train"), "a job in the queue", 120)
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
    edited["training"]["lr"] = 0.5
    project.configure(edited)
    edit_loss(project, "layerwise.py", '"""', '# A comment.\n"""')
    edit_loss(project, "forward_kl.py", "t * t *", "t *")
    project.slurm.run("scancel", busy)
    finish(driver, project)
    assert states(project) == ["COMPLETED"]
    assert_same(project, undisturbed)
    assert project.planned(TRAINED)["train"] == 1, "to be trained again with the new rate"
    project.configure(undisturbed.config)
    assert not project.planned(TRAINED)


def test_loss_edited_while_a_job_waits(waiting, busy: str):
    """The job stops with a sentence that says why."""
    project, driver = waiting
    edit_loss(project, "layerwise.py", "squared.sum(1)", "2 * squared.sum(1)")
    project.slurm.run("scancel", busy)
    assert driver.wait(PATIENCE) != 0
    log = (project.folder / "driver.log").read_text()
    assert "student/losses/layerwise.py was edited after this job had been submitted" in log
    assert not project.path("runs").exists()


def test_torn_files_in_place_of_every_output(on_cluster: ClusterProject, undisturbed: Project):
    """The cluster gives what one machine gives, whatever lay there before."""
    outputs = declared(undisturbed, "metadata")
    assert len(outputs) > 50 and "results/analysis.md" in outputs
    assert_same(on_cluster, undisturbed, *EARLIER, "tables/*.csv")
    assert not [name for name in outputs if (on_cluster.folder / name).read_bytes() == HALF_A_FILE]


def test_killed_at_random_moments(project: ClusterProject, undisturbed: Project):
    """Ten times anywhere in the study: the driver alone, or everything, with torn files in the place of outputs."""
    chance = random.Random(11)
    targets = [ANSWERED, "eval_logit_kl_0.5_tiny"]
    amid_training = {3: chance.randrange(4, 30), 4: chance.randrange(34, 60), 5: chance.randrange(64, 90)}
    kills = torn = 0
    pieces: dict[Path, int] = {}
    saved: dict[int, int] = {}  # the step that was saved when everything was dead, by the last job until then
    while kills < 10:
        if kills in amid_training:
            driver = project.start_training(amid_training[kills])
        else:
            driver = project.start(*targets)
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(chance.uniform(3, 11))
        if driver.returncode is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.wait()
            kills += 1
        else:  # it was done, which must not happen by mistake; then there is more to do again
            assert driver.returncode == 0, (project.folder / "driver.log").read_text()[-4000:]
            assert_same(project, undisturbed, *EARLIER)
            assert_nothing_repeated(project, saved)
            shutil.rmtree(project.path("runs"))
            saved.clear()
        if kills % 2 or kills - 1 in amid_training:
            project.lose_node()
            still = project.saved_pieces()
            assert all(still.get(path, when) == when for path, when in pieces.items()), "computed and saved once"
            pieces = still
            saved[max((int(job["JobId"]) for job in project.jobs()), default=0)] = project.saved_step()
            under_way = declared(project, "incomplete")
            project.tear(under_way)
            torn += len(under_way)
    project.run(*targets)
    wait_until(lambda: not project.active(), "the end of all jobs", 60)
    assert torn >= 3
    assert_nothing_repeated(project, saved)
    assert_same(project, undisturbed, *EARLIER)


def assert_nothing_repeated(project: ClusterProject, saved: dict[int, int]) -> None:
    """Jobs of the long run that came after a loss of the node began at the step that was saved by then, or later."""
    began = project.training_began()
    for last, step in saved.items():
        assert all(first >= step for number, first in began.items() if number > last), (saved, began)
