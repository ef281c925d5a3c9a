"""Another workflow uses this one as a module and sends its jobs to the cluster, set up as docs/cluster.md says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from project import HOSTILE_FOLDER, pwned, tiny_config, write_user_of_module
from slurm import Slurm
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
    for key in ("nolock", "keep-incomplete"):
        del profile[key]
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    return tmp_path


def test_another_workflow_sends_this_one_to_the_cluster(folder: Path, slurm: Slurm):
    """With fewer GPUs than the model asks for, which a job is told, and into a folder that a shell would misread."""
    command = [sys.executable, str(HERE / "impatient.py"), "--profile", "slurm", "--resources", "gpu=1"]
    command += ["--", "study_train_sft_0_tiny"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    (job,) = (job for job in slurm.jobs() if Path(job["WorkDir"]) == folder)
    assert (job["rule"], job["JobState"], job["JOB_GRES"]) == ("study_train", "COMPLETED", "gpu:a100:1")
    (log,) = (folder / HOSTILE_FOLDER / "logs/train").rglob("*.log")
    assert re.search(rf"Slurm job {job['JobId']}, GPUs \d \(1 promised\)", log.read_text())
    assert not pwned(folder)


def test_a_folder_that_a_cluster_would_misread_is_refused(tmp_path: Path, tiny_source: Path, slurm: Slurm):
    project = ClusterProject(tmp_path / "o'brien", tiny_config(tiny_source), slurm)
    assert "choose folders without quotes" in project.run("train_sft_0_tiny", check=False)
    assert not project.jobs()
