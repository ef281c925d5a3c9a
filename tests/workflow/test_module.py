"""Another workflow uses this one as a module, with its own configuration and results folder."""

import subprocess
import sys
from pathlib import Path

from project import tiny_config, write_user_of_module


def test_another_workflow_runs_this_one(tmp_path: Path, tiny_source: Path):
    write_user_of_module(tmp_path, tiny_config(tiny_source))
    # The module has its configuration from the other workflow; this file is that workflow's own business.
    (tmp_path / "workflow_config.yaml").write_text("models: nothing of ours")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    run()
    assert (tmp_path / "report.txt").read_text().startswith("3 elsewhere/out/runs")
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "Snakefile", "elsewhere", "mine.yaml", "report.txt", "workflow_config.yaml",
    ]  # fmt: skip
    assert "Nothing to be done" in run()
    assert "study_precompute_activations" in run("-n", "study_train_layerwise_0.5_tiny")
