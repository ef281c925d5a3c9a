"""What cross-entropy and distillation ask of the weights, each for itself."""

import torch
from torch import Tensor

from ..runtime.processes import SHARDED
from .batches import StepPlan
from .trainer import Trainer


def measurable(trainer: Trainer) -> bool:
    """Return whether this process has all weights and the whole batch."""
    return trainer.accelerator.num_processes == 1 and not SHARDED


def term_gradients(trainer: Trainer, step: int) -> dict[str, float]:
    """Measure the gradients of both terms of the loss before a step, without taking it.

    Every parameter's gradient of w L_CE and of λ Σ_t λ_t L_t over the effective batch, with the dropout masks of the
    step itself. Empty without both terms.

    Returns:
        `grad_norm_ce`, `grad_norm_distillation`, and `grad_cosine` between the two.
    """
    plan = trainer.plan(step)
    weights = trainer.weights(plan)
    parts = {"ce": weights.get("ce", 0.0)}, {name: w for name, w in weights.items() if name != "ce"}
    if not all(any(part.values()) for part in parts):
        return {}
    # On the host, where there is room for two more copies of what is trained.
    ce, distillation = ([part.cpu() for part in _gradient(trainer, plan, part)] for part in parts)
    norms = [sum(float(part.square().sum()) for part in whole) ** 0.5 for whole in (ce, distillation)]
    product = sum(float((a * b).sum()) for a, b in zip(ce, distillation, strict=True))
    return {
        "grad_norm_ce": norms[0],
        "grad_norm_distillation": norms[1],
        "grad_cosine": product / max(norms[0] * norms[1], 1e-30),
    }


def _gradient(trainer: Trainer, plan: StepPlan, weights: dict[str, float]) -> list[Tensor]:
    """The gradient of a step's weighted terms by each trained parameter, float32."""
    total = [torch.zeros_like(p, dtype=torch.float32) for p in trainer.trained_parameters]
    for number in plan.mine:
        # A pass for each term, because compiled layers can be differentiated only once.
        loss, _ = trainer.forward(plan, number, weights, again=True)
        found = torch.autograd.grad(loss.sum(), trainer.trained_parameters, allow_unused=True)
        for part, gradient in zip(total, found, strict=True):
            if gradient is not None:
                part += gradient
    return total
