"""Run `scripts/train.py` and say, in one line of JSON, what this process of it did.

accelerate spreads a model over GPUs only. Here it and the trainer see a GPU, whose tensors lie on the CPU and whose
processes talk over gloo; all else (accelerate's set-up, PyTorch's or DeepSpeed's sharding, the trainer) is real.

KILL_BEFORE_STEP ends the first process before that step without notice, and its launcher first where KILL_LAUNCHER is
set. BF16 computes in bfloat16 even where that is emulated.
"""

import json
import os
import resource
import runpy
import signal
import sys
import weakref
from pathlib import Path

TRAIN = Path(__file__).resolve().parents[1] / "scripts" / "train.py"
sys.path.insert(0, str(TRAIN.parent))

from fewshot_distillation.config.machine import Machine  # noqa: E402
from fewshot_distillation.runtime.processes import RANK, SHARDED, start_processes  # noqa: E402

if __name__ == "__main__":
    machine = Machine.model_validate_json(sys.argv[sys.argv.index("--machine") + 1])
    start_processes(machine.gpus, machine.accelerate)  # before what takes long to import

import torch  # noqa: E402
from accelerate import Accelerator  # noqa: E402
from accelerate.state import PartialState  # noqa: E402
from accelerate.utils import DistributedType  # noqa: E402
from torch.distributed import fsdp  # noqa: E402
from torch.distributed._functional_collectives import AsyncCollectiveTensor  # noqa: E402
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook  # noqa: E402
from torch.distributed.tensor import DTensor  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

from fewshot_distillation.modeling import load  # noqa: E402
from fewshot_distillation.student import run, trainer  # noqa: E402
from fewshot_distillation.student.determinism import rehearse  # noqa: E402


def pretend_gpu() -> None:
    # A model that is moved to the GPU before it is spread meets a PyTorch without GPUs.
    load.device = trainer.device = lambda: torch.device("cuda", RANK)
    os.environ |= {"ACCELERATE_USE_CPU": "false", "ACCELERATE_TORCH_DEVICE": "cpu"}
    torch.distributed.init_process_group("gloo")
    PartialState._prepare_backend = lambda *_arguments, **_more: ("gloo", DistributedType.MULTI_GPU)


def watch_sharding(seen: dict) -> None:
    """Modules that are made units; elements of this process and of all, after it; backward passes that left gradients
    as parts like their weights, and all of them; whether the model outlived training."""
    seen |= {"units": [], "elements": [0, 0], "gradients": [0, 0]}
    shard, prepare = fsdp.fully_shard, Accelerator.prepare
    backward, end = Accelerator.backward, Accelerator.end_training

    def sharding(module: torch.nn.Module, **arguments) -> torch.nn.Module:
        seen["units"].append(type(module).__name__)
        return shard(module, **arguments)

    def preparing(self: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple:
        prepared = prepare(self, model, optimizer)
        weights = list(model.parameters())
        mine = [p.to_local() if isinstance(p, DTensor) else p for p in weights]
        seen["elements"] = [sum(p.numel() for p in values) for values in (mine, weights)]
        seen["model"] = weakref.ref(prepared[0])
        return prepared

    def passing(self: Accelerator, loss: torch.Tensor) -> None:
        backward(self, loss)
        seen["gradients"][0] += all(
            isinstance(p.grad, DTensor) for p in seen["model"]().parameters() if p.requires_grad
        )
        seen["gradients"][1] += 1

    def ending(self: Accelerator) -> None:
        seen["model"] = "gone" if seen["model"]() is None else "alive"
        end(self)

    fsdp.fully_shard, Accelerator.prepare, Accelerator.backward = sharding, preparing, passing
    Accelerator.end_training = ending


def watch_exchanges(seen: dict) -> None:
    """How often copies of a model (DDP) average gradients, of which there is one bucket."""
    seen["exchanges"] = 0
    prepare = Accelerator.prepare

    def exchanging(group: object, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
        seen["exchanges"] += 1
        return allreduce_hook(group, bucket)

    def preparing(self: Accelerator, *arguments) -> tuple:
        prepared = prepare(self, *arguments)
        if isinstance(prepared[0], DistributedDataParallel):
            prepared[0].register_comm_hook(None, exchanging)
        return prepared

    Accelerator.prepare = preparing


def rehearse_as_on_a_gpu() -> None:
    run.compile_and_rehearse = lambda trainer, _cache: rehearse(trainer, trainer.plan(1))


def watch_gathering(seen: dict) -> None:
    """How many tensors that were put together from shards this process holds at most at a time."""
    seen["gathered"] = 0
    redistribute, alive = DTensor.redistribute, weakref.WeakSet()

    def gathering(self: DTensor, *arguments, **more) -> DTensor:
        whole = redistribute(self, *arguments, **more)
        if whole.dim():  # norms of gradients are numbers
            local = whole.to_local()
            alive.add(local.elem if isinstance(local, AsyncCollectiveTensor) else local)
        seen["gathered"] = max(seen["gathered"], len(alive))
        return whole

    DTensor.redistribute = gathering


def watch_writes(seen: dict, folder: str) -> None:
    """How often Python changes something below a folder. Processes after the first can put nothing into any file,
    whatever code tries to: the attempt is an error."""
    seen["writes"] = 0
    changes = {f"os.{name}" for name in ("mkdir", "rename", "remove", "rmdir", "truncate", "link", "symlink")}

    def hook(event: str, arguments: tuple) -> None:
        if event in changes or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else ""
            seen["writes"] += path.startswith(folder)

    sys.addaudithook(hook)
    if RANK > 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def kill_before(number: int) -> None:
    step = trainer.Trainer.step

    def dying(self: trainer.Trainer, now: int) -> dict:
        if now == number and RANK == 0:
            if "KILL_LAUNCHER" in os.environ:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, now)

    trainer.Trainer.step = dying


def compile_nothing() -> None:
    """Let DeepSpeed use PyTorch's collectives: it compiles its own for CPUs, which would need a compiler, and what a
    killed process has left half compiled would keep all that follow waiting."""
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


if __name__ == "__main__":
    if "BF16" in os.environ:
        load.dtype_for = trainer.dtype_for = lambda precision, where: torch.bfloat16
    if "KILL_BEFORE_STEP" in os.environ:
        kill_before(int(os.environ["KILL_BEFORE_STEP"]))
    if SHARDED:
        pretend_gpu()
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true":
        compile_nothing()
    else:
        rehearse_as_on_a_gpu()
    seen = {"process": RANK}
    watch_sharding(seen)
    watch_exchanges(seen)
    watch_gathering(seen)
    watch_writes(seen, str(Path(machine.state).parent))
    sys.argv[0] = str(TRAIN)
    runpy.run_path(str(TRAIN), run_name="__main__")
    print(json.dumps(seen), file=sys.stderr)
