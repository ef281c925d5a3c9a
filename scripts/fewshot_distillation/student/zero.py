"""DeepSpeed's ZeRO, which keeps flat tensors of its own behind parameters: whole tensors to save, and to load.

PyTorch's functions for sharded models see none of these tensors; DeepSpeed has functions that read and set what belongs
to one parameter.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTS = ("exp_avg", "exp_avg_sq")


def shards(model: nn.Module) -> bool:
    """Return whether DeepSpeed keeps flat tensors behind the parameters."""
    return any(map(_is_sharded, model.parameters()))


def _is_sharded(value: Tensor) -> bool:
    """Whether it is a parameter of stage 3, or of stages 1 and 2."""
    return hasattr(value, "ds_id") or hasattr(value, "_hp_mapping")


def whole_weights(values: dict[str, Tensor]) -> dict[str, Tensor]:
    from deepspeed.utils import safe_get_full_fp32_param

    return _kept((name, safe_get_full_fp32_param(v) if _is_sharded(v) else v) for name, v in values.items())


def whole_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    from deepspeed.utils import safe_get_full_optimizer_state

    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    (step, *_) = (state["step"] for state in optimizer.optimizer.state.values())
    steps = {f"{name}:step": step.clone() for name in trained}  # one number for all; files hold no tensor twice
    read = ((f"{n}:{key}", safe_get_full_optimizer_state(p, key)) for n, p in trained.items() for key in MOMENTS)
    return steps | _kept(read)


def _kept(values: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """Put all tensors together, since every process has to; keep them in the first process only."""
    keep = torch.distributed.get_rank() == 0
    whole = {}
    for name, value in values:
        if keep:
            whole[name] = value.detach().cpu().contiguous()
    return whole


@torch.no_grad()
def load(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: dict[str, Tensor],
    states: dict[str, dict[str, Tensor]],
) -> None:
    """Set weights and moments; DeepSpeed has made a step before, which creates the moments."""
    from deepspeed.runtime.zero import GatheredParameters
    from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

    for name, p in model.named_parameters():
        if name not in weights:
            continue
        with GatheredParameters([p], modifier_rank=0):
            p.copy_(weights[name])
        safe_set_full_fp32_param(p, weights[name])
        for of_all in optimizer.optimizer.state.values():
            of_all["step"].copy_(states[name]["step"])
        for key in MOMENTS:
            safe_set_full_optimizer_state(p, states[name][key], key)
