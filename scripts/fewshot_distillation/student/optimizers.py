"""Optimizers by their names in the configuration."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial

from torch import nn, optim

from ..config.catalogue import Training

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adamw": optim.AdamW,
    "adam": optim.Adam,
    "sgd": partial(optim.SGD, momentum=0.9),
}


def optimizer_of(training: Training, parameters: Iterable[nn.Parameter], fused: bool = False) -> optim.Optimizer:
    """Create the optimizer of a recipe for these parameters.

    Args:
        fused: whether to take PyTorch's form with a few kernels for all parameters together, if there is one.
    """
    kind = OPTIMIZERS[training.optimizer]
    form = {"fused": True} if fused and "fused" in inspect.signature(kind).parameters else {}
    return kind(parameters, lr=training.learning_rate, weight_decay=training.weight_decay, **form)
