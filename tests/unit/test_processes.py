"""Training over two processes is the same training."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import warm
from fewshot_distillation.config.machine import Machine
from fewshot_distillation.data.checkpoints import checkpoints_of
from fewshot_distillation.evaluation.generation import evaluate_checkpoints
from fewshot_distillation.modeling.adapters import load_checkpoint
from fewshot_distillation.modeling.load import load_model
from tiny import fetched_model, make_model, study
from training import Setup

# Each launch imports PyTorch three times.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory, model_folder: Path, splits: tuple[Path, Path]) -> Setup:
    return Setup(tmp_path_factory.mktemp("processes"), model_folder, splits[0])


TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", "29613"]
WATCHED = "tests/train_watched.py"
FULL = {"training__default__adapter": "none", "training__default__learning_rate": 1e-4}
needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="DeepSpeed isn't installed")
each_way = pytest.mark.parametrize("way", ["fsdp", pytest.param("deepspeed", marks=needs_deepspeed)])


def train(
    setup: Setup,
    folder: Path,
    processes: int = 1,
    way: str | None = None,
    launcher: tuple[str, ...] = (),
    program: str = "scripts/train.py",
    stopped: bool = False,
    checkpointing: bool = False,
    changes: dict[str, Any] | None = None,
    **more: str,
) -> str:
    """Run the program that the workflow runs, with `more` in its environment; what it printed.

    It starts its processes itself, sharding the model in a `way` of envs/accelerate-*.yaml, or by a `launcher`.
    """
    machine = Machine(
        state=str(folder / "state"),
        gpus=processes,
        accelerate=way and str(ROOT / "envs" / f"accelerate-{way}.yaml"),
        gradient_checkpointing=checkpointing,
        save_state_every=2,
        log_gradients_every=0,
    )
    # Two processes may pack a batch otherwise than one, and each pack has dropout masks of its own.
    settings = {"training__default__effective_batch_size": 8, "training__default__lora__dropout": 0.0}
    spec = setup.spec("layerwise", **settings | (changes or {}))
    run = folder / "run"
    arguments = {
        "--spec": [spec.model_dump_json(by_alias=True)],
        "--model": [setup.model / "manifest.json"],
        "--train": [setup.train_path],
        "--targets": setup.cache("fewshot", "question", "hidden_states"),
        "--machine": [machine.model_dump_json()],
        "--checkpoints": [run / "checkpoints" / "manifest.json"],
        "--metrics": [run / "metrics.csv"],
    }
    words = [str(word) for name, values in arguments.items() for word in (name, *values)]
    # A launcher that is to be killed has processes of its own.
    environment = dict(os.environ) if "KILL_LAUNCHER" in more else warm.variables()
    environment |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"DS_ACCELERATOR": "cpu"} | more
    command = [sys.executable, *launcher, str(ROOT / program), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert (done.returncode != 0) == stopped, done.stderr[-3000:]
    return done.stderr


def watched(printed: str) -> list[dict[str, Any]]:
    """What `train_watched.py` said of each process."""
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith('{"process"')]
    return sorted(lines, key=lambda seen: seen["process"])


def adapters(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted((folder / "run").rglob("adapter_model.safetensors"))]


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


@pytest.fixture(scope="module")
def two_processes(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    first, second = watched(train(setup, folder, 2, program=WATCHED))
    assert first["writes"] > 0 and second["writes"] == 0
    assert first["model"] == second["model"] == "gone"
    return folder


def test_two_processes_train_the_same_adapter(one_process: Path, two_processes: Path):
    """Same examples, same dropout masks, losses averaged over the same tokens."""
    assert_same_training(one_process, two_processes)


def test_copies_exchange_gradients_once_a_step(setup: Setup, one_process: Path, tmp_path: Path):
    """However many micro batches it has; the rehearsal exchanges none."""
    changes = {"training__default__micro_batch_tokens": 160}
    seen = watched(train(setup, tmp_path, 2, program=WATCHED, changes=changes))
    steps = len(pd.read_csv(tmp_path / "run" / "metrics.csv"))
    for one in seen:
        assert one["exchanges"] == steps and one["gradients"][1] > 2 * steps
    assert_same_training(one_process, tmp_path)


def test_torchrun_starts_them_as_well(setup: Setup, one_process: Path, tmp_path: Path):
    train(setup, tmp_path, 2, launcher=TORCHRUN)
    assert_same_training(one_process, tmp_path)


@pytest.mark.parametrize("killed", ["process", "launch"])
def test_two_processes_continue_after_a_kill(setup: Setup, two_processes: Path, tmp_path: Path, killed: str):
    """Without a chance to clean up; the second process is ended by the launcher, or by the end of the first."""
    more = {"KILL_BEFORE_STEP": "6"} | ({"KILL_LAUNCHER": "1"} if killed == "launch" else {})
    train(setup, tmp_path, 2, program=WATCHED, stopped=True, **more)
    (state,) = (tmp_path / "state").rglob("step-*")
    assert state.name == "step-00000004" and not adapters(tmp_path)
    train(setup, tmp_path, 2)
    assert adapters(tmp_path) == adapters(two_processes)


def test_two_processes_train_all_weights(setup: Setup, tmp_path: Path):
    """With layers that are computed a second time, whose gradients are summed over micro batches and processes."""
    train(setup, tmp_path / "one", checkpointing=True, changes=FULL)
    train(setup, tmp_path / "two", 2, checkpointing=True, changes=FULL)
    assert_same_training(tmp_path / "one", tmp_path / "two", "model.safetensors")


@each_way
def test_shards_of_a_model_train_the_same_adapter(setup: Setup, one_process: Path, tmp_path: Path, way: str):
    """Killed, and continued from a state that both processes gave their shards to."""
    both = watched(train(setup, tmp_path / "whole", 2, way, program=WATCHED))
    assert both[0]["writes"] > 0 and both[1]["writes"] == 0
    assert_same_training(one_process, tmp_path / "whole")
    train(setup, tmp_path / "shards", 2, way, program=WATCHED, stopped=True, KILL_BEFORE_STEP="5")
    (state,) = (tmp_path / "shards" / "state").rglob("step-*")
    assert state.name == "step-00000004"
    train(setup, tmp_path / "shards", 2, way, program=WATCHED)
    assert adapters(tmp_path / "shards") == adapters(tmp_path / "whole")
    if way == "deepspeed":
        assert both[0]["elements"] == both[1]["elements"] == [0, 0]  # it keeps them where they can't be counted
        return
    for seen in both:
        assert seen["units"] == ["Qwen3DecoderLayer", "Qwen3DecoderLayer", "Student"]
        mine, whole = seen["elements"]
        assert mine < 0.51 * whole
        kept, passes = seen["gradients"]
        assert kept == passes > 6  # steps, of several micro batches each
    assert sum(seen["elements"][0] for seen in both) == both[0]["elements"][1]
    # The first process keeps all that it gathers; the other one at a time, and the next on its way.
    assert both[0]["gathered"] > 2 >= both[1]["gathered"]


@each_way
def test_shards_of_a_model_train_all_weights_and_tied_ones(splits: tuple[Path, Path], tmp_path: Path, way: str):
    """As one process does, though killed on the way; the checkpoints are models that answer questions."""
    model = fetched_model(make_model(tmp_path / "source", tie_word_embeddings=True), tmp_path / "tied")
    setup = Setup(tmp_path / "setup", model, splits[0])
    train(setup, tmp_path / "one", changes=FULL)
    more = {"program": WATCHED, "changes": FULL, "checkpointing": True}
    train(setup, tmp_path, 2, way, stopped=True, KILL_BEFORE_STEP="5", **more)
    both = watched(train(setup, tmp_path, 2, way, **more))
    assert sum(seen["elements"][0] for seen in both) == both[0]["elements"][1]
    assert both[1]["writes"] == 0
    assert_same_training(tmp_path / "one", tmp_path, "model.safetensors")
    checkpoint = tmp_path / "run" / "checkpoints" / "checkpoint-6"
    assert "lm_head.weight" not in load_file(checkpoint / "model.safetensors")
    found, other = load_checkpoint(model, checkpoint, "fp32"), load_model(model, "fp32")
    assert found.lm_head.weight is found.model.embed_tokens.weight
    assert not torch.equal(found.lm_head.weight, other.lm_head.weight)
    spec = study(**FULL).eval_checkpoint("tiny", "layerwise", "0.5", "42", "short")
    answers = tmp_path / "answers.parquet"
    checkpoints = checkpoints_of(checkpoint.parent / "manifest.json", spec.checkpoints)
    evaluate_checkpoints(spec, model, checkpoints, splits[1], tmp_path / "evaluation", answers)
    assert set(pd.read_parquet(answers)["step"]) == {3, 6}


def test_fsdp_in_bfloat16(setup: Setup, tmp_path: Path):
    """Targets and gradients are not rounded more than in one process."""
    # A pass of each example alone, since what else is in a pass decides how bfloat16 rounds.
    more = {"program": WATCHED, "changes": {"training__default__micro_batch_tokens": 140}, "BF16": "1"}
    train(setup, tmp_path / "one", **more)
    train(setup, tmp_path / "two", 2, "fsdp", **more)
    assert_same_training(tmp_path / "one", tmp_path / "two")


def test_finished_work_is_put_back_for_all_processes(setup: Setup, two_processes: Path):
    metrics = two_processes / "run" / "metrics.csv"
    text = metrics.read_text()
    metrics.unlink()
    assert "putting its outputs back" in train(setup, two_processes, 2)
    assert metrics.read_text() == text
