"""Compiled layers in a training run."""

import logging
from pathlib import Path

from accelerate.utils import DistributedType

from ..modeling.compile import compile_layers, worth_compiling
from ..modeling.hidden_states import decoder_of
from .trainer import Trainer

log = logging.getLogger("fewshot_distillation")


def compile_student(trainer: Trainer, cache: Path) -> None:
    """Compile the layers if `training.compile` is set, and make one pass, before anything is trained.

    Args:
        cache: a folder for what was compiled, which later runs start from.
    """
    decoder, plan = decoder_of(trainer.student.base[0]), trainer.plan(1)
    passes = trainer.spec.schedule.max_steps * len(plan.mine)
    choice, accelerator = trainer.spec.training.compile, trainer.accelerator
    if not worth_compiling(choice, accelerator.device, len(decoder.layers), passes):
        return
    if accelerator.distributed_type == DistributedType.DEEPSPEED:
        log.info("layers aren't compiled, because DeepSpeed has weights only while a module is called")
        return
    log.info("compiling the layers; what was compiled is kept in %s", cache)
    compile_layers(decoder, cache)
    # Kernels are chosen by the first batch, which has to be the same where a run continues.
    trainer.rehearse(plan)
