"""Training spread over two processes is the same training."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from training import Setup

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, splits: tuple[Path, Path]) -> Setup:
    return Setup(tmp_path_factory.mktemp("processes"), model_folder, splits[0])


def train(setup: Setup, folder: Path, *launcher: str, **changes) -> str:
    """Run the program that the workflow runs; what it printed."""
    spec = setup.spec("layerwise", training__effective_batch_size=8, training__micro_batch_size=2, **changes)
    run = folder / "run"
    arguments = {
        "--spec": [spec.model_dump_json(by_alias=True)],
        "--model": [setup.model / "manifest.json"],
        "--train": [setup.train_path],
        "--targets": setup.caches["layerwise"],
        "--trackers": [],
        "--save-state-every": ["2"],
        "--gpus": ["1"],
        "--state": [folder / "state"],
        "--checkpoints": [run / "checkpoints"],
        "--metrics": [run / "metrics.csv"],
        "--tensorboard": [run / "tensorboard"],
    }
    words = [str(word) for name, values in arguments.items() for word in (name, *values)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, str(ROOT / "scripts" / "train.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def test_two_processes_train_the_same_adapter(setup: Setup, tmp_path: Path):
    """Same examples, same dropout masks, losses averaged over the same tokens; only sums are added in another order."""
    train(setup, tmp_path / "one")
    train(setup, tmp_path / "two", "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29613")
    one, two = (pd.read_csv(tmp_path / name / "run" / "metrics.csv") for name in ("one", "two"))
    for column in ("ce", "distillation", "grad_norm", "lr"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-4, atol=1e-7, err_msg=column)
    files = [sorted((tmp_path / name / "run").rglob("adapter_model.safetensors")) for name in ("one", "two")]
    for ours, theirs in zip(*files, strict=True):
        first, second = load_file(ours), load_file(theirs)
        for name in first:
            np.testing.assert_allclose(second[name], first[name], rtol=1e-3, atol=1e-5, err_msg=name)


def test_two_processes_train_all_weights(setup: Setup, tmp_path: Path):
    """With layers that are computed a second time, whose gradients are summed over micro batches and processes."""
    changes = {"training__adapter": "none", "training__gradient_checkpointing": True, "training__lr": 1e-3}
    train(setup, tmp_path / "one", **changes)
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29615")
    train(setup, tmp_path / "two", *launcher, **changes)
    one, two = (pd.read_csv(tmp_path / name / "run" / "metrics.csv") for name in ("one", "two"))
    for column in ("ce", "distillation", "grad_norm", "lr"):
        np.testing.assert_allclose(two[column], one[column], rtol=1e-3, atol=1e-7, err_msg=column)
    first, second = (
        load_file(tmp_path / name / "run" / "checkpoints" / "checkpoint-6" / "model.safetensors")
        for name in ("one", "two")
    )
    assert set(first) == set(second)
    for name in first:
        # Adam divides by the gradient's size, which magnifies rounding where a gradient is next to nothing.
        np.testing.assert_allclose(second[name], first[name], rtol=1e-2, atol=1e-3, err_msg=name)


def test_finished_work_is_put_back_for_all_processes(setup: Setup, tmp_path: Path):
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29614")
    train(setup, tmp_path, *launcher)
    metrics = tmp_path / "run" / "metrics.csv"
    text = metrics.read_text()
    metrics.unlink()
    assert "putting its outputs back" in train(setup, tmp_path, *launcher)
    assert metrics.read_text() == text
