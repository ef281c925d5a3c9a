"""A study: a grid of training runs."""

from typing import Annotated, Any

from pydantic import Field, model_validator

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
    optional: bool = Field(False, description="Built only where `build`, or the command line, names the study.")
    along: list[str] = Field([], description="Studies that are built along with this one.")
    settings: dict[str, Any] = Field(
        {},
        description="Configuration that goes with an optional study. Where it alone is built, as by "
        "`snakemake <study>`, it is merged into the rest, below overlays and the command line.",
    )

    @model_validator(mode="after")
    def _settings_of_its_own(self) -> "Grid":
        if self.settings and not self.optional:
            raise ValueError("settings belong to an optional study; the others share the configuration")
        if wrong := {"studies", "build"} & set(self.settings):
            raise ValueError(f"settings can't change {sorted(wrong)[0]}")
        return self
