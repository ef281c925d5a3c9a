"""T² times the generalised Jensen–Shannon divergence β KL(p ‖ m) + (1 − β) KL(q ‖ m), m = β p + (1 − β) q.

p is the teacher's distribution and q the student's (Agarwal et al., 2024, equation 1).
"""

import math

import torch
from torch import Tensor

from ....config.targets import LogitsTarget
from ..top_k import log_distributions

# Default and bounds; a value is between them.
PARAMETERS = {"beta": (0.5, 0.0, 1.0)}


def loss(student: Tensor, teacher: dict[str, Tensor], target: LogitsTarget) -> Tensor:
    """Return one value per token in nats, (tokens,); arguments as in `top_k.log_distributions`."""
    log_p, log_q = log_distributions(student, teacher, target)
    beta = target.settings["beta"]
    log_m = torch.logaddexp(log_p + math.log(beta), log_q + math.log1p(-beta))
    divergence = beta * log_p.exp() * (log_p - log_m) + (1 - beta) * log_q.exp() * (log_q - log_m)
    return target.temperature**2 * divergence.sum(1)
