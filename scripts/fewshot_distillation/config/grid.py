"""A study: a grid of training runs."""

from typing import Annotated

from pydantic import Field

from .base import Strict

# The recipe that a study trains with where it names none.
DEFAULT = "default"

Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Grid(Strict):
    """A study: every combination of its lists is one training run."""

    models: list[str] = Field(min_length=1, description="Models to train.")
    conditions: list[str] = Field(min_length=1, description="Conditions to train.")
    schedules: list[str] = Field(min_length=1, description="Schedules to train with.")
    recipes: list[str] = Field([DEFAULT], min_length=1, description="Training recipes.")
    lambdas: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=1, description="Weights λ in place of each condition's own; plain fine-tuning has none."
    )
    train_examples: list[Annotated[int, Field(ge=1)]] | None = Field(
        None, min_length=1, description="Numbers of training examples, each a seeded subset; null for all of them."
    )
    seeds: list[Seed] | None = Field(None, min_length=1, description="In place of `seeds`.")
    optional: bool = Field(False, description="Built only where `build` names the study.")
