"""The same bytes from every run of a configuration on the same device."""

import logging
import os

import torch
import torch.utils.deterministic

from .batches import StepPlan
from .trainer import Trainer

log = logging.getLogger("fewshot_distillation")


def be_deterministic() -> None:
    """Choose kernels that give the same bytes every time, where there is a choice.

    An operation that has none is an error, and not a warning: with warnings flash attention takes the backward pass
    that adds up in any order, although it has another one. Memory isn't filled first, which would only show reads of
    what was never written, at a tenth of a step's time.
    """
    # How cuBLAS has to be set up for it, which it reads at its first product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False


def rehearse(trainer: Trainer, plan: StepPlan) -> None:
    """Pass a micro batch through the model, and allow what has no deterministic kernel, if it has that.

    Such a model trains, but another run of it, or an interrupted one, ends in other last digits; the log says so.
    """
    try:
        trainer.rehearse(plan)
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        log.warning("training doesn't repeat to the byte with this model: %s", str(error).partition(", but")[0])
        torch.use_deterministic_algorithms(True, warn_only=True)
        trainer.optimizer.zero_grad()
        trainer.rehearse(plan)
