"""Whatever is killed, the same command continues and the same bytes come out."""

import copy
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from project import Project, kill_group, tiny_config, wait_for

TARGET = "eval_layerwise_0.5_tiny"
RUN = "runs/tiny/layerwise/lambda0.5/seed42/short"
WANTED = (
    "runs/**/adapter_model.safetensors",
    "runs/**/adapter_config.json",
    "runs/**/predictions.parquet",
    "teachers/**/activations.safetensors",
)


FETCHED = ("models", "data", "baselines", "icl_gap")


def long_config(model: Path) -> dict:
    """Enough steps that there is a middle to be killed in."""
    config = copy.deepcopy(tiny_config(model))
    config["schedules"]["short"] = {"max_steps": 60, "checkpoints": [30, 60]}
    config["save_state_every"] = 4
    return config


@pytest.fixture(scope="module")
def undisturbed(made_once, study: Project) -> Project:
    """What takes no longer than in the small study is taken from there."""
    config = long_config(study.config["models"]["tiny"]["source"]["files"])
    small = FETCHED + ("teachers",)
    return Project(made_once("undisturbed", lambda at: Project(at, config).take(study, *small).run(TARGET)), config)


@pytest.fixture
def project(tmp_path: Path, undisturbed: Project) -> Project:
    """The long study, not yet begun."""
    return Project(tmp_path, undisturbed.config)


@pytest.fixture
def prepared(project: Project, undisturbed: Project) -> Project:
    """Everything is there that training needs."""
    return project.take(undisturbed, *FETCHED, "teachers")


def assert_same(project: Project, undisturbed: Project) -> None:
    expected = undisturbed.digests(*WANTED)
    assert len(expected) >= 6
    assert project.digests(*WANTED) == expected


STALE_HANDLE = """
import errno, sys
from snakemake.cli import main
from snakemake.dag import DAG

async def fail(*arguments, **options):
    raise OSError(errno.ESTALE, "Stale file handle")

DAG.check_and_touch_output = fail
sys.argv[0] = "snakemake"
main()
"""


def test_a_job_about_which_snakemake_came_to_grief_is_asked_again(tmp_path: Path, tiny_source: Path):
    """It forgets what it knew of a job where the file system fails it as it looks at the outputs."""
    project, split = Project(tmp_path, tiny_config(tiny_source)), "results/data/problems/train.jsonl"
    failing = [sys.executable, "-c", STALE_HANDLE, *project.command(split)[3:]]
    done = subprocess.run(failing, cwd=project.folder, capture_output=True, text=True, timeout=100)
    assert done.returncode and "Stale file handle" in done.stderr, done.stderr[-2000:]
    assert (project.folder / split).exists()
    assert project.planned(split)["fetch_dataset"] == 1


def states(project: Project, rule: str) -> list[Path]:
    return list(project.path(".state").glob(f"{rule}/*/*"))


def saved_steps(project: Project) -> list[int]:
    return [int(p.name[5:]) for p in project.path(".state").glob("train/*/steps-*/step-*")]


def pids_of(program: str, folder: Path) -> list[int]:
    """Running Python jobs of a program in a working folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if (
                len(words) > 1
                and words[1].endswith(f"/{program}".encode())
                and os.readlink(entry / "cwd") == str(folder)
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_training_job_killed(prepared: Project, undisturbed: Project):
    """The job continues after the last saved step, and no step before it is repeated."""
    driver = prepared.start(TARGET)
    wait_for(lambda: any(step >= 8 for step in saved_steps(prepared)), "a saved training state")
    (pid,) = pids_of("train.py", prepared.folder)
    os.kill(pid, signal.SIGKILL)
    assert driver.wait(120) != 0
    saved = max(saved_steps(prepared))
    assert not list(prepared.path("runs").rglob("manifest.json")), "a killed job publishes nothing"
    output = prepared.run(TARGET)
    resumed = re.search(r"train layerwise: +\d+%.*\| (\d+)/60", output)
    assert int(resumed.group(1)) == saved > 0
    assert_same(prepared, undisturbed)


@pytest.mark.slow
def test_everything_killed_at_random_moments(project: Project, undisturbed: Project):
    """The power goes three times, anywhere in the study."""
    chance = random.Random(7)
    for _ in range(3):
        driver = project.start(TARGET)
        try:
            driver.wait(chance.uniform(4, 16))
        except subprocess.TimeoutExpired:
            kill_group(driver)
    project.run(TARGET)
    assert_same(project, undisturbed)


@pytest.mark.slow
def test_driver_killed_while_its_job_goes_on(prepared: Project, undisturbed: Project):
    """The job that outlives its driver isn't raced by the one that the next driver starts."""
    driver = prepared.start(TARGET)
    wait_for(lambda: saved_steps(prepared), "a saved training state")
    driver.kill()
    driver.wait()
    assert pids_of("train.py", prepared.folder), "the job outlives its driver"
    output = prepared.run(TARGET)
    assert "waiting for another process" in output or "putting its outputs back" in output
    assert_same(prepared, undisturbed)


@pytest.mark.slow
def test_driver_interrupted(project: Project, undisturbed: Project):
    project.take(undisturbed, *FETCHED)
    driver = project.start(TARGET)
    wait_for(lambda: states(project, "precompute_activations"), "the teacher's job")
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(120) != 0
    project.run(TARGET)
    assert_same(project, undisturbed)


@pytest.mark.slow
def test_evaluation_killed_keeps_its_batches(prepared: Project, undisturbed: Project):
    prepared.take(undisturbed, "runs")
    for answered in ("predictions.parquet", "judged.parquet", "accuracy.csv"):
        prepared.path(RUN, answered).unlink()
    driver = prepared.start(TARGET)
    wait_for(
        lambda: list(prepared.path(".state").glob("eval_checkpoint/*/checkpoint-30/**/batch-*.parquet")), "a batch"
    )
    kill_group(driver)
    kept = {
        path: path.stat().st_mtime_ns for path in prepared.path(".state").glob("eval_checkpoint/*/**/batch-*.parquet")
    }
    assert kept
    driver = prepared.start(TARGET)
    # Every batch that was there is still the one that was written first, as long as the job runs.
    wait_for(lambda: driver.poll() is not None or pids_of("eval_checkpoint.py", prepared.folder), "the job")
    assert all(not path.exists() or path.stat().st_mtime_ns == when for path, when in kept.items())
    assert driver.wait(120) == 0
    assert_same(prepared, undisturbed)


@pytest.mark.slow
def test_torn_outputs_are_made_again(prepared: Project, undisturbed: Project):
    """Half a file under an output's name, as an unfinished job of the driver, is never taken for a result."""
    driver = prepared.start(TARGET)
    wait_for(lambda: saved_steps(prepared), "a saved training state")
    kill_group(driver)
    metrics = prepared.path(RUN, "metrics.csv")
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text("step,lo")
    prepared.run(TARGET)
    assert metrics.read_text().count("\n") == 61
    assert_same(prepared, undisturbed)


@pytest.mark.slow
def test_two_drivers_at_once(prepared: Project, undisturbed: Project):
    """The second is turned away, and what it would have deleted stays."""
    driver = prepared.start(TARGET)
    wait_for(lambda: saved_steps(prepared), "a saved training state")
    assert "Another run is working in results" in prepared.run(TARGET, check=False)
    assert driver.wait(120) == 0
    assert_same(prepared, undisturbed)
