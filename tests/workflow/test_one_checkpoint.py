"""The documented commands that evaluate a checkpoint by itself, as they stand but for the paths."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import warm
from project import ROOT, Project


def example(**replacements: str) -> str:
    text = (ROOT / "docs" / "running.md").read_text().split("<!-- example: one checkpoint -->")[1]
    command = re.search(r"```bash\n(.*?)```", text, re.S).group(1)
    for old, new in replacements.values():
        assert old in command, old
        command = command.replace(old, new)
    return command


@pytest.fixture
def adapter(finished: Project, tmp_path: Path) -> Path:
    """A copy of a run's last adapter, outside of the results."""
    run = finished.path("runs", "tiny", "layerwise", "lambda0.5", "seed42", "short")
    return Path(shutil.copytree(run / "checkpoints" / "checkpoint-4", tmp_path / "an adapter"))


def run(folder: Path, command: str) -> subprocess.CompletedProcess:
    shell = ["bash", "-ec", command]
    return subprocess.run(shell, cwd=folder, env=warm.variables(), capture_output=True, text=True, timeout=300)


def test_readme_example(finished: Project, adapter: Path, tmp_path: Path):
    command = example(
        programs=("python scripts/", f"'{sys.executable}' '{ROOT}'/scripts/"),
        adapter=("path/to/adapter", f"'{adapter}'"),
        model=("results/models/my-model", f"'{finished.path('models', 'tiny')}'"),
        test=("results/data/gsm8k", f"'{finished.path('data', 'problems')}'"),
        template=('"chat_template": {}', '"chat_template": {"enable_thinking": false}'),
        length=('"max_new_tokens": 512', '"max_new_tokens": 8'),
        step=("[1000]", "[4]"),
        precision=('"bf16"', '"fp32"'),
    )
    done = run(tmp_path, command)
    assert done.returncode == 0, done.stderr[-3000:]
    mine = pd.read_parquet(tmp_path / "my_predictions.parquet")
    theirs = pd.read_parquet(
        finished.path("runs", "tiny", "layerwise", "lambda0.5", "seed42", "short", "predictions.parquet")
    )
    theirs = theirs[theirs["step"] == 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(mine, theirs)
    assert len(pd.read_csv(tmp_path / "my_accuracy.csv")) == 1


def test_a_folder_without_a_checkpoint(finished: Project, tmp_path: Path):
    command = example(
        programs=("python scripts/", f"'{sys.executable}' '{ROOT}'/scripts/"),
        adapter=("path/to/adapter", "."),
        model=("results/models/my-model", f"'{finished.path('models', 'tiny')}'"),
    )
    done = run(tmp_path, command)
    assert done.returncode == 1 and "is no checkpoint" in done.stderr
