"""Published accuracies, shown beside the measured ones; those of this study are in published.yaml."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from .base import ConfigError, Name, Strict, explain
from .catalogue import BASE
from .protocol import Protocol


def _pair(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value, value)


# A schedule, behind it its recipe if that isn't the default one, as runs are called: `full@all_weights`.
Variant = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=130)]
Text = Annotated[str, Field(min_length=1, max_length=400)]
# One value, or the first and the last of a range that is printed as such; kept as a pair in either case.
Steps = Annotated[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], BeforeValidator(_pair)]
Percents = Annotated[
    tuple[Annotated[float, Field(ge=0, le=100)], Annotated[float, Field(ge=0, le=100)]], BeforeValidator(_pair)
]


class PublishedRow(Strict):
    """One printed accuracy, with the names of workflow_config.yaml."""

    model: Name = Field(description="Model.")
    condition: Name = Field(description="Condition, or `base` for the base model.")
    lam: float | None = Field(None, ge=0, alias="lambda", description="Weight λ; none for the base model.")
    schedule: Variant | None = Field(
        None, description="Schedule, with `@<recipe>` behind it for another recipe; none for the base model."
    )
    step: Steps = Field((0, 0), description="Optimizer step, or the first and last of several; 0 for the base model.")
    shots: int = Field(0, ge=0, le=64, description="Demonstrations in the prompt.")
    phase: Name | None = Field(None, description="Phase 0 comparison of a base model.")
    percent: Percents = Field(description="Accuracy in percent as printed, or the lowest and highest of several.")
    correct: int | None = Field(None, ge=0, description="Right answers, where they are printed.")
    difference: float | None = Field(
        None, ge=-100, le=100, description="Points above the row that the table compares with, as printed."
    )
    caution: Text | None = Field(None, description="Why this cell is to be read with care.")

    @model_validator(mode="after")
    def _complete(self) -> "PublishedRow":
        run = {"lambda": self.lam, "schedule": self.schedule, "step": self.step[0] or None}
        if self.condition == BASE:
            needless = [key for key, value in run.items() if value is not None]
            if needless:
                raise ValueError(f"a row of the base model has no {needless[0]}")
        else:
            missing = [key for key, value in run.items() if value is None]
            if missing:
                raise ValueError(f"a row of a trained model needs {missing[0]}")
            if self.phase is not None:
                raise ValueError("phase belongs to rows of the base model")
        if self.step[0] > self.step[1] or self.percent[0] > self.percent[1]:
            raise ValueError("a range begins with its lower end")
        if self.step[0] != self.step[1] and (self.correct is not None or self.difference is not None):
            raise ValueError("a range of steps has neither correct nor difference")
        return self

    def result(self) -> tuple:
        """Return what names this result: two rows with the same one should hold the same accuracy."""
        return (self.model, self.condition, self.lam, self.schedule, self.step, self.shots, self.phase)


class Against(Strict):
    """The row of the same model, and step if it was trained, from which a table's differences are counted."""

    condition: Name = Field(description="Condition, or `base` for the base model.")
    shots: int = Field(0, ge=0, le=64, description="Demonstrations in the prompt.")


class PublishedTable(Strict):
    """One table of the study."""

    title: str = Field(min_length=1, max_length=120, description="Title in the study.")
    n: int = Field(ge=1, description="Test questions.")
    decimals: int = Field(2, ge=0, le=6, description="Decimals that the table prints.")
    against: Against | None = Field(None, description="What its differences are counted from.")
    protocol: Protocol | None = Field(None, description="How its accuracies came about; without it none is compared.")
    rebuilt_by: Name | None = Field(
        None, description="Study of workflow_config.yaml that trains and measures its rows."
    )
    caution: Text | None = Field(None, description="Why the table is to be read with care.")
    rows: list[PublishedRow] = Field(min_length=1, description="One for each accuracy.")

    @model_validator(mode="after")
    def _counts(self) -> "PublishedTable":
        seen = set()
        for number, row in enumerate(self.rows):
            if row.result() in seen:
                raise ValueError(f"row {number} repeats the result of another row")
            seen.add(row.result())
            if row.difference is not None and self.against is None:
                raise ValueError(f"row {number} has a difference, but its table has no `against`")
            if row.correct is not None:
                if row.correct > self.n:
                    raise ValueError(f"row {number} has {row.correct} right answers to {self.n} questions")
                if abs(100 * row.correct / self.n - row.percent[0]) > 0.5001 * 10**-self.decimals:
                    raise ValueError(f"row {number}: {row.correct} of {self.n} is not {row.percent[0]} %")
        return self


class Source(Strict):
    """Whose accuracies these are."""

    author: Text = Field(description="Who published them.")
    repository: str = Field(pattern=r"^https://\S+$", description="Address of the study.")
    commits: dict[str, Text] = Field({}, description="Commits that were read, and what is in each.")
    taken: Text = Field(description="What was taken from it.")


class Published(Strict):
    """published.yaml."""

    renamed: ClassVar[dict[str, str]] = {"metric": "tables.<table>.protocol.scorer"}

    source: Source | None = Field(None, description="Whose accuracies these are.")
    dataset: Name = Field(description="Dataset whose test questions were answered.")
    remaining: list[Text] = Field([], description="What is otherwise here in any case, whatever is configured.")
    left_out: dict[str, Text] = Field({}, description="What the study published besides, and why it isn't here.")
    tables: dict[Name, PublishedTable] = Field(min_length=1, description="Tables by name.")

    def rows(self) -> Iterator[tuple[str, PublishedTable, PublishedRow]]:
        """Return every row, with its table and that table's name."""
        for name, table in self.tables.items():
            for row in table.rows:
                yield name, table, row

    def counterpart(self, name: str, row: PublishedRow) -> PublishedRow | None:
        """Find the row with which a row of this table is compared: in the same table, or else in the first with it."""
        against = self.tables[name].against
        if against is None:
            return None
        for table in sorted(self.tables, key=lambda other: other != name):
            for other in self.tables[table].rows:
                trained = (other.schedule, other.step) == (row.schedule, row.step) or other.condition == BASE
                same = (other.model, other.phase) == (row.model, row.phase) and trained
                if same and (other.condition, other.shots) == (against.condition, against.shots):
                    return other
        return None


def load_published(path: Path) -> Published:
    """Read and validate a file of published accuracies.

    Raises:
        ConfigError: the file can't be read, or one sentence a line with the row's place, the value and what is allowed.
    """
    try:
        return Published.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"published: {path} can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"published: {path} is not YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ConfigError(f"published: {path} is wrong:\n{explain(error)}") from None
