"""T² KL(teacher ‖ student) of next-token distributions (Hinton et al., 2015)."""

from torch import Tensor

from ....config.targets import LogitsTarget
from ..top_k import log_distributions


def loss(student: Tensor, teacher: dict[str, Tensor], target: LogitsTarget) -> Tensor:
    """Return one value per token in nats, (tokens,); arguments as in `top_k.log_distributions`."""
    log_p, log_q = log_distributions(student, teacher, target)
    return target.temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1)
