"""What the tests of interruptions share."""

import subprocess

from project import Project
from study import PATIENCE, RUN, STEPS, ClusterProject

EARLIER = ("teachers/**/*.safetensors", "baselines/**/predictions.parquet")
WANTED = ("runs/**/adapter_model.safetensors", "runs/**/adapter_config.json", "runs/**/predictions.parquet")


def assert_same(project: ClusterProject, undisturbed: Project, *patterns: str) -> None:
    """What is there is what the undisturbed run has, byte for byte."""
    expected, found = undisturbed.digests(*WANTED, *patterns), project.digests(*WANTED, *patterns)
    assert f"{RUN}/checkpoints/checkpoint-{STEPS}/adapter_model.safetensors" in found
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
