"""Phase 0: the gap between a base model's answers with and without demonstrations in its prompt."""

from typing import Annotated

from pydantic import Field, model_validator

from .base import Strict
from .catalogue import Questions


class IclGap(Strict):
    """Phase 0: what demonstrations in the prompt are worth to each candidate model."""

    models: list[str] = Field(min_length=1, description="Candidate models.")
    teacher: str = Field("fewshot", description="Teacher whose prompts are used, with other numbers of shots.")
    shots: list[Annotated[int, Field(ge=0, le=64)]] = Field([0, 4, 8], min_length=2, description="Shots to compare.")
    questions: Questions = Field(
        16, description="Test questions: the first so many, `{count: 16, seed: 42}` for so many drawn, or null for all."
    )
    min_gap: float = Field(0.05, ge=0, le=1, description="Least gain of the most shots over the fewest.")
    min_floor: float = Field(0.05, ge=0, le=1, description="Least accuracy with the fewest shots.")

    @model_validator(mode="after")
    def _sensible(self) -> "IclGap":
        if self.shots != sorted(set(self.shots)):
            raise ValueError(f"shots must be ascending without repetition, not {self.shots}")
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models must not repeat, not {self.models}")
        return self
