"""Run `scripts/train.py` and say what its processes did: which modules FSDP spread, and who wrote files.

accelerate offers FSDP on GPUs only. Here it believes in GPUs that talk over gloo; all else (its set-up of FSDP,
PyTorch's sharding, the trainer) is real. STOP_BEFORE_STEP ends training before that step, and BF16 computes in bfloat16
even where that is emulated.
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


def record_writes(folder: str) -> list[str]:
    """Paths below a folder that this process makes, changes or removes from now on."""
    written = []
    changes = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree")

    def hook(event: str, arguments: tuple) -> None:
        if event in changes or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            if path.startswith(folder):
                written.append(path)

    sys.addaudithook(hook)
    return written


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
    written = record_writes(str(Path(sys.argv[sys.argv.index("--state") + 1]).parent))
    sys.argv[0] = str(TRAIN)
    runpy.run_path(str(TRAIN), run_name="__main__")
    rank = os.environ.get("RANK", "0")
    print(f"process {rank} sharded {sharded} and wrote {len(written)} times", file=sys.stderr)
