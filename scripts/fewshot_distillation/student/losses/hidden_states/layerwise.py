"""Squared distance between hidden states, L = Σ_l ‖ĥ_l(student) − ĥ_l(teacher)‖²."""

import torch.nn.functional as F
from torch import Tensor

from ....config.targets import HiddenStatesTarget


def loss(student: Tensor, teacher: Tensor, target: HiddenStatesTarget) -> Tensor:
    """Return one value per token, (tokens,), from hidden states (tokens, layers, hidden).

    `normalize` scales each hidden state to unit L2 norm; `reduction` sums (the documented objective) or averages over
    layers and features.
    """
    student, teacher = student.float(), teacher.float()
    if target.normalize:
        student, teacher = F.normalize(student, dim=-1), F.normalize(teacher, dim=-1)
    squared = (student - teacher).square().flatten(1)
    return squared.sum(1) if target.reduction == "sum" else squared.mean(1)
