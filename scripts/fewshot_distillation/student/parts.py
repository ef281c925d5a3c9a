"""Weights and optimizer moments that may lie in parts in several processes: whole ones to save, and back to parts.

FSDP spreads tensors that say how they are spread (`DTensor`). DeepSpeed's ZeRO keeps flat tensors of its own behind
parameters and has functions that read and set what belongs to one. Every process calls all that is here.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


def _by_zero(value: Tensor) -> bool:
    """Whether it is a parameter behind which DeepSpeed keeps flat tensors (stage 3, or stages 1 and 2)."""
    return hasattr(value, "ds_id") or hasattr(value, "_hp_mapping")


@torch.no_grad()
def gathered(values: Iterable[tuple[str, Tensor]], keep: bool, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """Weights or moments on the CPU, put together from their parts one after another.

    Args:
        keep: without it the result is empty, and each whole tensor is let go before the next is put together.
        dtype: in which floating-point values are wanted, or None for their own.
    """
    whole = {}
    for name, value in values:
        if isinstance(value, DTensor):
            value = value.full_tensor()
        elif _by_zero(value):
            from deepspeed.utils import safe_get_full_fp32_param

            value = safe_get_full_fp32_param(value)
        else:
            value = value.detach()
        if keep:
            whole[name] = value.to("cpu", dtype if value.is_floating_point() else None).contiguous()
    return whole


def moments(p: nn.Parameter, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """What Adam keeps of a parameter, by name, for `gathered`."""
    if not _by_zero(p):
        yield from optimizer.state[p].items()
        return
    from deepspeed.utils import safe_get_full_optimizer_state

    (step, *_) = (state["step"] for state in optimizer.optimizer.state.values())
    yield "step", step.clone()  # one number for all parameters, and files hold no tensor twice
    for name in ("exp_avg", "exp_avg_sq"):
        yield name, safe_get_full_optimizer_state(p, name)


@torch.no_grad()
def put(p: nn.Parameter, weight: Tensor, state: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Give a parameter a whole weight and Adam's whole moments of it; DeepSpeed has made a step before."""
    if not _by_zero(p):
        p.copy_(_like(weight, p))
        optimizer.state[p] = {name: value if name == "step" else _like(value, p) for name, value in state.items()}
        return
    from deepspeed.runtime.zero import GatheredParameters
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    with GatheredParameters([p], modifier_rank=0):
        p.copy_(weight)
    safe_set_full_fp32_param(p, weight)
    for of_all in optimizer.optimizer.state.values():
        of_all["step"].copy_(state["step"])
    for name in ("exp_avg", "exp_avg_sq"):
        safe_set_full_optimizer_state(p, state[name], name)


def _like(value: Tensor, p: Tensor) -> Tensor:
    """A whole tensor on the device of a parameter, and spread as it is."""
    value = value.to(p.device)
    return distribute_tensor(value, p.device_mesh, p.placements) if isinstance(p, DTensor) else value
