"""Run `scripts/train.py` with FSDP on processors, which accelerate itself offers on GPUs only.

Accelerate believes in GPUs that talk over gloo; all else (its FSDP set-up, PyTorch's sharding, the trainer) is real.
STOP_BEFORE_STEP ends training before that step, and BF16 computes in bfloat16 where the hardware can't.
"""

import os
import runpy
import sys
from pathlib import Path

import torch
from accelerate.state import PartialState
from accelerate.utils import DistributedType
from torch.distributed import fsdp

TRAIN = Path(__file__).resolve().parents[1] / "scripts" / "train.py"
sys.path.insert(0, str(TRAIN.parent))

from fewshot_distillation.modeling import load  # noqa: E402
from fewshot_distillation.student.trainer import Trainer  # noqa: E402


def record_units() -> list[str]:
    """Names of the modules that are sharded from now on."""
    units, shard = [], fsdp.fully_shard

    def recording(module: torch.nn.Module, **arguments) -> torch.nn.Module:
        units.append(type(module).__name__)
        return shard(module, **arguments)

    fsdp.fully_shard = recording
    return units


def stop_before(number: int) -> None:
    step = Trainer.step

    def stopping(self: Trainer, now: int) -> dict:
        if now == number:
            sys.exit(f"stopped before step {now}")
        return step(self, now)

    Trainer.step = stopping


if __name__ == "__main__":
    if "BF16" in os.environ:
        load.dtype_for = lambda precision, where: torch.bfloat16
    if "STOP_BEFORE_STEP" in os.environ:
        stop_before(int(os.environ["STOP_BEFORE_STEP"]))
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
        torch.distributed.init_process_group("gloo")
        PartialState._prepare_backend = lambda *_arguments, **_more: ("gloo", DistributedType.MULTI_GPU)
    sharded = record_units()
    sys.argv[0] = str(TRAIN)
    runpy.run_path(str(TRAIN), run_name="__main__")
    print("sharded:", *sharded, file=sys.stderr)
