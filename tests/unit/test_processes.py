"""Training spread over two processes is the same training."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from training import Setup

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, splits: tuple[Path, Path]) -> Setup:
    return Setup(tmp_path_factory.mktemp("processes"), model_folder, splits[0])


# What the workflow types; a port of 0 lets the processes find a free one.
SHAPE = "--num_machines 1 --num_processes 2 --main_process_port 0 --mixed_precision no"
ACCELERATE = ["-m", "accelerate.commands.launch", *SHAPE.split()]
LAUNCHERS = {
    "accelerate": [*ACCELERATE, "--multi_gpu", "--dynamo_backend", "no"],
    "torchrun": ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29613"],
}
WATCHED = "tests/train_watched.py"
FSDP = [*ACCELERATE, "--config_file", str(ROOT / "envs" / "accelerate-fsdp.yaml")]


def train(
    setup: Setup,
    folder: Path,
    *launcher: str,
    program: str = "scripts/train.py",
    stopped: bool = False,
    checkpointing: str = "0",
    changes: dict[str, Any] | None = None,
    **more: str,
) -> str:
    """Run the program that the workflow runs, with `more` in its environment; what it printed."""
    spec = setup.spec("layerwise", training__effective_batch_size=8, training__micro_batch_size=2, **(changes or {}))
    run = folder / "run"
    arguments = {
        "--spec": [spec.model_dump_json(by_alias=True)],
        "--model": [setup.model / "manifest.json"],
        "--train": [setup.train_path],
        "--targets": setup.caches["layerwise"],
        "--trackers": [],
        "--save-state-every": ["2"],
        "--gradient-checkpointing": [checkpointing],
        "--gpus": ["1"],
        "--state": [folder / "state"],
        "--checkpoints": [run / "checkpoints"],
        "--metrics": [run / "metrics.csv"],
        "--tensorboard": [run / "tensorboard"],
    }
    words = [str(word) for name, values in arguments.items() for word in (name, *values)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | more
    command = [sys.executable, *launcher, str(ROOT / program), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert (done.returncode != 0) == stopped, done.stderr[-3000:]
    return done.stderr


def assert_same_training(one: Path, two: Path, weights: str = "adapter_model.safetensors") -> None:
    """Only sums are added in another order; the schedule of learning rates is equal."""
    first, second = (pd.read_csv(folder / "run" / "metrics.csv") for folder in (one, two))
    assert list(second["lr"]) == list(first["lr"])
    for column in {"ce", "distillation", "grad_norm"} & set(first):
        np.testing.assert_allclose(second[column], first[column], rtol=1e-4, atol=1e-7, err_msg=column)
    files = [sorted((folder / "run").rglob(weights)) for folder in (one, two)]
    assert len(files[0]) == 2
    for ours, theirs in zip(*files, strict=True):
        first, second = load_file(ours), load_file(theirs)
        assert set(first) == set(second)
        for name in first:
            np.testing.assert_allclose(second[name], first[name], rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.fixture(scope="module")
def one_process(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    train(setup, folder)
    return folder


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_train_the_same_adapter(setup: Setup, one_process: Path, tmp_path: Path, launcher: str):
    """Same examples, same dropout masks, losses averaged over the same tokens."""
    train(setup, tmp_path, *LAUNCHERS[launcher])
    assert_same_training(one_process, tmp_path)


def test_two_processes_train_all_weights(setup: Setup, tmp_path: Path):
    """With layers that are computed a second time, whose gradients are summed over micro batches and processes."""
    changes = {"training__adapter": "none", "training__lr": 1e-4}
    train(setup, tmp_path / "one", checkpointing="1", changes=changes)
    train(setup, tmp_path / "two", *LAUNCHERS["accelerate"], checkpointing="1", changes=changes)
    assert_same_training(tmp_path / "one", tmp_path / "two", "model.safetensors")


def test_fsdp_trains_the_same_adapter(setup: Setup, one_process: Path, tmp_path: Path):
    """With weights, gradients and moments in parts; interrupted, and continued from a state that both wrote."""
    printed = train(setup, tmp_path / "whole", *FSDP, program=WATCHED)
    assert "process 0 sharded ['Qwen3DecoderLayer', 'Qwen3DecoderLayer', 'Student'] and wrote" in printed
    assert "process 1 sharded ['Qwen3DecoderLayer', 'Qwen3DecoderLayer', 'Student'] and wrote 0 times" in printed
    assert_same_training(one_process, tmp_path / "whole")
    train(setup, tmp_path / "parts", *FSDP, program=WATCHED, stopped=True, STOP_BEFORE_STEP="5")
    (state,) = (tmp_path / "parts" / "state").rglob("step-*")
    assert state.name == "step-00000004"
    train(setup, tmp_path / "parts", *FSDP, program=WATCHED)
    assert_same_training(one_process, tmp_path / "parts")
    adapters = [sorted((tmp_path / name).rglob("run/**/adapter_model.safetensors")) for name in ("whole", "parts")]
    assert [path.read_bytes() for path in adapters[0]] == [path.read_bytes() for path in adapters[1]]


def test_fsdp_in_bfloat16(setup: Setup, tmp_path: Path):
    """Autocast decides the precision, so that targets and gradients are not rounded more than without FSDP."""
    more = {"program": WATCHED, "BF16": "1"}
    train(setup, tmp_path / "one", **more)
    train(setup, tmp_path / "two", *FSDP, **more)
    assert_same_training(tmp_path / "one", tmp_path / "two")


def test_finished_work_is_put_back_for_all_processes(setup: Setup, tmp_path: Path):
    launcher = LAUNCHERS["accelerate"]
    printed = train(setup, tmp_path, *launcher, program=WATCHED)
    assert "process 1 sharded [] and wrote 0 times" in printed
    assert re.search(r"process 0 sharded \[\] and wrote [1-9]", printed)
    metrics = tmp_path / "run" / "metrics.csv"
    text = metrics.read_text()
    metrics.unlink()
    assert "putting its outputs back" in train(setup, tmp_path, *launcher)
    assert metrics.read_text() == text
