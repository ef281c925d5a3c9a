"""The teacher's targets for a micro batch, read from its cache."""

from pathlib import Path

import torch
from torch import Tensor

from ..config.specs import TrainSpec
from ..runtime.errors import JobError
from ..teacher.cache import TeacherCache


class Targets:
    """Rows of the teacher cache that a condition learns from.

    Args:
        spec: of the training run.
        cache_path: the cache, or None for a condition without a teacher.
        temperatures: at which the cache of logits holds log-sum-exps.
        examples: number of training examples, which the cache must match.
    """

    def __init__(
        self, spec: TrainSpec, cache_path: Path | None, temperatures: list[float] | None, examples: int
    ) -> None:
        self.condition = spec.condition
        self.cache = None if cache_path is None else TeacherCache(cache_path)
        self.temperatures = temperatures or []
        if self.cache is not None and self.cache.rows != examples:
            raise JobError(f"{cache_path} has {self.cache.rows} rows, but there are {examples} training examples")

    def of(self, examples: list[int], device: torch.device) -> Tensor | dict[str, Tensor] | None:
        """Hidden states (batch, layers, hidden), or a dictionary of top-k logits, or None without a teacher."""
        condition = self.condition
        if condition.target == "none":
            return None
        if condition.target == "hidden_states":
            hidden = self.cache.get(condition.position, examples)
            return (hidden if condition.layers == "all" else hidden[:, list(condition.layers)]).to(device)
        part = {
            key: self.cache.get(f"{condition.position}.{key}", examples) for key in ("values", "indices", "logsumexp")
        }
        return {
            "values": part["values"][:, : condition.top_k].to(device),
            "indices": part["indices"][:, : condition.top_k].to(device),
            "logsumexp": part["logsumexp"][:, self.temperatures.index(condition.temperature)].to(device),
        }
