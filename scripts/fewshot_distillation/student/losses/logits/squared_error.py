"""Mean squared error of raw logits over the teacher's top-k tokens; temperature and missing probability don't count."""

from torch import Tensor

from ....config.targets import LogitsTarget
from ..top_k import chosen


def loss(student: Tensor, teacher: dict[str, Tensor], target: LogitsTarget) -> Tensor:
    """Return one value per token, (tokens,), the mean over its k logits; arguments as in `top_k.log_distributions`."""
    return (chosen(student, teacher) - teacher["values"].float()).square().mean(1)
