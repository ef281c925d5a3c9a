"""Another workflow uses this one as a module and sends its jobs to the cluster, set up as docs/cluster.md says."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from project import tiny_config, write_user_of_module
from slurm import Slurm
from study import HERE, PROFILE


@pytest.fixture
def folder(tmp_path: Path, tiny_source: Path) -> Path:
    """The other workflow, with the profile in which rules bear the module's prefix."""
    write_user_of_module(tmp_path, tiny_config(tiny_source))
    profile = yaml.safe_load(PROFILE.read_text())
    for key in ("set-resources", "set-threads"):
        profile[key] = {f"study_{rule}": value for rule, value in profile[key].items()}
    del profile["nolock"]
    (tmp_path / "slurm").mkdir()
    (tmp_path / "slurm" / "config.yaml").write_text(yaml.safe_dump(profile))
    return tmp_path


def test_another_workflow_sends_this_one_to_the_cluster(folder: Path, slurm: Slurm):
    command = [sys.executable, str(HERE / "impatient.py"), "--profile", "slurm", "study_train_sft_0_tiny"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    (job,) = (job for job in slurm.jobs() if Path(job["WorkDir"]) == folder)
    assert (job["rule"], job["JobState"], job["JOB_GRES"]) == ("study_train", "COMPLETED", "gpu:a100:1")
    (log,) = (folder / "elsewhere/out/logs/train").rglob("*.log")
    assert f"Slurm job {job['JobId']}, GPUs" in log.read_text()
