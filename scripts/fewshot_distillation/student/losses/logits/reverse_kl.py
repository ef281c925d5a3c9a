"""T² KL(student ‖ teacher) of next-token distributions, which seeks the teacher's modes (Gu et al., 2024)."""

from torch import Tensor

from ....config.targets import LogitsTarget
from ..top_k import log_distributions

# Values of `missing_probability` with which this isn't a divergence, and why.
REFUSED = {
    "teacher_only": "of a student that isn't renormalised, Σ q log(q/p) is smallest, and below zero, where the student "
    "takes probability away from the teacher's tokens (at q = p/e)"
}


def loss(student: Tensor, teacher: dict[str, Tensor], target: LogitsTarget) -> Tensor:
    """Return one value per token in nats, (tokens,); arguments as in `top_k.log_distributions`."""
    log_p, log_q = log_distributions(student, teacher, target)
    return target.temperature**2 * (log_q.exp() * (log_q - log_p)).sum(1)
