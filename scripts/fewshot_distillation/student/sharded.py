"""Whole weights and optimizer states of a model that may be sharded over processes: to save, and to load.

Every process calls what is here. Only the first one gets whole tensors, on its CPU, put together one after another.
"""

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from . import zero

WHOLE = {"full_state_dict": True, "cpu_offload": True}


def whole_weights(model: nn.Module, frozen: bool = False) -> dict[str, Tensor]:
    """Gather buffers and weights by name; tied weights are one tensor, under the first of its names.

    Args:
        frozen: whether weights that aren't trained are wanted as well.
    """
    found = {
        name: value
        for name, value in model.state_dict(keep_vars=True).items()
        if frozen or value.requires_grad or not isinstance(value, nn.Parameter)
    }
    names = sorted({id(value): name for name, value in reversed(found.items())}.values())
    if zero.shards(model):
        return zero.whole_weights({name: found[name] for name in names})
    whole = get_model_state_dict(model, options=StateDictOptions(**WHOLE, ignore_frozen_params=not frozen))
    return {name: whole[name].contiguous() for name in names if name in whole}


def whole_optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Gather the optimizer's state of each parameter, as `<parameter>:<name>`."""
    if zero.shards(model):
        return zero.whole_optimizer_state(model, optimizer)
    found = get_optimizer_state_dict(model, optimizer, options=StateDictOptions(**WHOLE))
    kept = found.get("state", {}).items()
    return {f"{name}:{key}": value.contiguous() for name, state in kept for key, value in state.items()}


def load(
    model: nn.Module, optimizer: torch.optim.Optimizer, weights: dict[str, Tensor], states: dict[str, Tensor]
) -> None:
    """Load into model and optimizer what `whole_weights` and `whole_optimizer_state` returned, in every process."""
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for key, value in states.items():
        name, _, kept = key.rpartition(":")
        by_parameter.setdefault(name, {})[kept] = value
    if zero.shards(model):
        zero.load(model, optimizer, weights, by_parameter)
        return
    options = StateDictOptions(**WHOLE, strict=False)
    # What the optimizer says of its parameters besides, such as the learning rate, is the trainer's to set.
    groups = get_optimizer_state_dict(model, optimizer)["param_groups"]
    set_optimizer_state_dict(model, optimizer, {"state": by_parameter, "param_groups": groups}, options=options)
    set_model_state_dict(model, weights, options=options)
    for name, p in model.named_parameters():
        if name not in by_parameter:  # it has had no gradient so far
            optimizer.state.pop(p, None)
