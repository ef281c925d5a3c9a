"""T² KL(teacher ‖ student) of next-token distributions, over the teacher's top-k tokens (Hinton et al., 2015)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...config.catalogue import Logits


def loss(student: Tensor, teacher: dict[str, Tensor], condition: Logits) -> Tensor:
    """One value per example in nats, (batch,).

    Args:
        student: (batch, vocabulary) logits.
        teacher: `values` (batch, k) logits of the teacher's top tokens, `indices` (batch, k) of these tokens, and
            `logsumexp` (batch,) of the teacher's full logits divided by T.
        condition: its temperature T and what happens to the mass outside the top k (`missing_probability`).
    """
    t = condition.temperature
    student, values = student.float() / t, teacher["values"].float() / t
    chosen = student.gather(1, teacher["indices"].long())
    if condition.missing_probability == "bucket":
        log_p = _with_tail(values - teacher["logsumexp"].float().unsqueeze(1))
        log_q = _with_tail(chosen - student.logsumexp(1, keepdim=True))
    else:
        log_p = F.log_softmax(values, dim=1)
        log_q = F.log_softmax(chosen, dim=1)
        if condition.missing_probability == "teacher_only":
            log_q = chosen - student.logsumexp(1, keepdim=True)
    return t * t * (log_p.exp() * (log_p - log_q)).sum(1)


def _with_tail(log_probabilities: Tensor) -> Tensor:
    """Append the logarithm of the probability that is left over, as one more token."""
    rest = 1 - log_probabilities.exp().sum(1, keepdim=True)
    # Rounding may leave nothing or less than nothing; a floor keeps the logarithm finite.
    return torch.cat([log_probabilities, rest.clamp_min(1e-6).log()], dim=1)
