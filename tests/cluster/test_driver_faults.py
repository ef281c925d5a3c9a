"""Whatever ends the driver, the same command continues, no saved step is done twice, and bytes agree."""

import contextlib
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from faults import EARLIER, PATIENCE, assert_same, finish, states, training_log
from project import ROOT, Project
from slurm import wait_until
from study import ANSWERED, TRAINED, ClusterProject


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


def test_driver_killed_and_its_job_ends_alone(prepared: ClusterProject, undisturbed: Project):
    """Nobody has written down with which settings it was made, so it counts only after the next driver has asked."""
    driver = prepared.start_training()
    driver.kill()
    driver.wait()
    prepared.thaw()
    noted = set()
    wait_until(lambda: noted.add(TRAINED in prepared.declared("incomplete")) or not prepared.active(), "its end", 60)
    assert noted == {True}, "not even for a moment does it pass for done"
    assert prepared.path(TRAINED.removeprefix("results/")).exists()
    edited = copy.deepcopy(prepared.config)
    edited["training"]["default"]["learning_rate"] = 0.5
    prepared.configure(edited)
    assert prepared.planned(TRAINED)["train"] == 1, "what lies there is of another rate"
    prepared.configure(undisturbed.config)
    prepared.run(TRAINED)
    assert "putting its outputs back" in training_log(prepared) and not prepared.planned(TRAINED)
    assert_same(prepared, undisturbed)


def test_driver_killed_while_its_job_waits(prepared: ClusterProject, undisturbed: Project, busy: str):
    """A job that starts after another driver has taken over stops by itself; a helper lists and cancels such jobs."""
    for _ in range(2):
        driver = prepared.start(TRAINED)
        wait_until(lambda: prepared.active("PENDING", rule="train"), "a job in the queue", PATIENCE)
        driver.kill()
        driver.wait()
        first = prepared.jobs("train")[0]["JobId"]
        assert orphans(prepared).split()[0] in [job["JobId"] for job in prepared.active()]
        if len(prepared.jobs("train")) == 1:
            orphans(prepared, "--cancel")
            wait_until(lambda: not prepared.active(), "the end of the orphan")
            assert states(prepared) == ["CANCELLED"] and "no orphaned jobs" in orphans(prepared)
    driver = prepared.start(TRAINED)
    wait_until(lambda: len(prepared.active("PENDING", rule="train")) == 2, "the job of the next driver", PATIENCE)
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
    """Ctrl-C cancels the jobs, but for those about which the driver was just asking Slurm: these run on."""
    driver = prepared.start_training()
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(PATIENCE) != 0
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not prepared.active(), "the end of its jobs", 20)
    saved = prepared.saved_step()
    prepared.thaw()
    prepared.run(TRAINED)
    assert states(prepared) in (["CANCELLED", "COMPLETED"], ["COMPLETED", "COMPLETED"])
    assert prepared.resumed_at() == (saved if states(prepared)[0] == "CANCELLED" else 0)
    assert_same(prepared, undisturbed)


def test_killed_at_random_moments(project: ClusterProject, undisturbed: Project):
    """Ten times anywhere in the study: the driver alone, or everything, with torn files in the place of outputs."""
    chance = random.Random(11)
    targets = [ANSWERED, "eval_logit_kl_0.5_tiny"]
    amid_training = {3: chance.randrange(4, 18), 4: chance.randrange(22, 36), 5: chance.randrange(40, 54)}
    kills = torn = 0
    pieces: dict[Path, int] = {}
    saved: dict[int, int] = {}  # the step that was saved when everything was dead, by the last job until then
    while kills < 10:
        if kills in amid_training:
            driver = project.start_training(amid_training[kills])
        else:
            driver = project.start(*targets)
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(chance.uniform(3, 10))
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
            under_way = project.declared("incomplete")
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
