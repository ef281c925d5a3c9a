"""Reruns: the same evaluation of a base model with another inference backend or in other batches."""

from typing import Literal

from pydantic import Field, model_validator

from .base import Strict
from .catalogue import Evaluation
from .engines import engines


class Rerun(Strict):
    """What differs from `evaluation`: greedy answers should not, and how far they do is the noise of generation."""

    backend: Literal[("auto", *engines())] | None = Field(None, description="Another inference backend.")
    batch_tokens: int | None = Field(None, ge=256, description="Batches of another shape.")

    @model_validator(mode="after")
    def _differs(self) -> "Rerun":
        if self.backend is None and self.batch_tokens is None:
            raise ValueError("a rerun needs another backend or other batch_tokens")
        return self

    def of(self, evaluation: Evaluation) -> Evaluation:
        """Return the evaluation with what differs."""
        return evaluation.model_copy(update=self.model_dump(exclude_none=True))
