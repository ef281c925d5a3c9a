"""Compiled layers in a training run."""

import logging
from pathlib import Path

from accelerate.utils import DistributedType

from ..modeling.compile import compile_layers, worth_compiling
from ..modeling.hidden_states import decoder_of
from .determinism import rehearse
from .trainer import Trainer

log = logging.getLogger("fewshot_distillation")


def compile_and_rehearse(trainer: Trainer, cache: Path) -> None:
    """Compile the layers if `training.compile` asks for it, and make a pass before anything is trained.

    Kernels of compiled layers are chosen by the first batch, which has to be the same where a run continues; on a GPU
    the pass also finds out what has no deterministic kernel.

    Args:
        cache: a folder for what was compiled, which later runs start from.
    """
    decoder, plan = decoder_of(trainer.student.base[0]), trainer.plan(1)
    passes = trainer.spec.schedule.max_steps * len(plan.mine)
    choice, accelerator = trainer.spec.training.compile, trainer.accelerator
    worth = worth_compiling(choice, accelerator.device, len(decoder.layers), passes)
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        if worth:
            log.info("layers aren't compiled, because DeepSpeed has weights only while a module is called")
        return
    if worth:
        log.info("compiling the layers; what was compiled is kept in %s", cache)
        compile_layers(decoder, cache)
    if worth or accelerator.device.type == "cuda":
        rehearse(trainer, plan)
