"""What the divergences of logits share: both distributions over the teacher's top-k tokens.

The teacher is a dictionary of tensors: `values` (tokens, k), its largest logits; `indices` (tokens, k), the tokens they
belong to; `logsumexp` (tokens,), of all its logits divided by T; and `rest` (tokens,), the logarithm of the probability
that it gives to all other tokens at T.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...config.targets import LogitsTarget

# The smallest probability of a bucket that differs from none, in float32.
LEAST = 1e-6


def chosen(student: Tensor, teacher: dict[str, Tensor]) -> Tensor:
    """Return the student's logits (tokens, k), float32, of the teacher's top-k tokens."""
    return student.gather(1, teacher["indices"].long()).float()


def log_distributions(student: Tensor, teacher: dict[str, Tensor], target: LogitsTarget) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of teacher and student at temperature T, (tokens, k), or (tokens, k + 1) with a bucket.

    Args:
        student: (tokens, vocabulary) logits.
        teacher: as above.
        target: its temperature T, and what happens to the probability outside the top k (`missing_probability`).
    """
    t = target.temperature
    values, mine = teacher["values"].float() / t, chosen(student, teacher) / t
    if target.missing_probability == "renormalise":
        return F.log_softmax(values, dim=1), F.log_softmax(mine, dim=1)
    full = (student.float() / t).logsumexp(1, keepdim=True)
    if target.missing_probability == "teacher_only":
        return F.log_softmax(values, dim=1), mine - full
    # Of the student what the top k leave of 1; where that is less than rounding, a floor keeps its logarithm finite.
    mine = mine - full
    left = (1 - mine.exp().sum(1, keepdim=True)).clamp_min(LEAST)
    rest = teacher["rest"].float().clamp_min(math.log(LEAST))
    log_p = torch.cat([values - teacher["logsumexp"].float().unsqueeze(1), rest.unsqueeze(1)], dim=1)
    # Cached values are rounded; that they add up to 1 leaves no trace of it but in the second order.
    return F.log_softmax(log_p, dim=1), torch.cat([mine, left.log()], dim=1)
