"""The same bytes from every run of a configuration on the same device."""

import logging
import os

import torch
import torch.utils.deterministic

from .batches import StepPlan
from .trainer import Trainer

log = logging.getLogger("fewshot_distillation")


def be_deterministic() -> None:
    """Choose kernels that give the same bytes every time, where there is a choice; `rehearse` goes further on a GPU.

    Memory isn't filled first, which would only show reads of what was never written, at a tenth of a step's time.
    """
    # PyTorch reads it at the process's first product on a GPU.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False


def rehearse(trainer: Trainer, plan: StepPlan) -> None:
    """Pass a step's first micro batch through the model, and from then on let no operation be nondeterministic.

    With warnings in place of errors flash attention takes the backward pass that adds up in any order, although it has
    another one. A model that needs an operation without a deterministic kernel trains all the same, but another run of
    it, or an interrupted one, may end in other last digits; the log says so.
    """
    torch.use_deterministic_algorithms(True)
    try:
        trainer.rehearse(plan)
    except RuntimeError as error:
        if "deterministic" not in str(error) or "CUBLAS_WORKSPACE_CONFIG" in str(error):
            raise
        log.warning("training doesn't repeat to the byte with this model: %s", str(error).partition(", but")[0])
        torch.use_deterministic_algorithms(True, warn_only=True)
        trainer.optimizer.zero_grad()
        trainer.rehearse(plan)
