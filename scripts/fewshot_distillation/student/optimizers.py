"""Optimizers by their names in the configuration."""

from collections.abc import Callable, Iterable
from functools import partial

from torch import nn, optim

from ..config.catalogue import Training

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adamw": optim.AdamW,
    "adam": optim.Adam,
    "sgd": partial(optim.SGD, momentum=0.9),
}


def optimizer_of(training: Training, parameters: Iterable[nn.Parameter]) -> optim.Optimizer:
    """Create the optimizer of a recipe for these parameters."""
    parameters = list(parameters)
    # PyTorch's fused form takes a few kernels for all parameters together; its default on a CPU is another one.
    fused = True if _on_a_gpu(parameters) else None
    settings = {"lr": training.learning_rate, "weight_decay": training.weight_decay, "fused": fused}
    return OPTIMIZERS[training.optimizer](parameters, **settings)


def _on_a_gpu(parameters: list[nn.Parameter]) -> bool:
    return all(parameter.is_cuda for parameter in parameters)
