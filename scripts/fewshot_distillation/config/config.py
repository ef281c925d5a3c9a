"""The whole configuration, and the checks that need to see more than one entry."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ..tasks import task_of
from .base import ConfigError, DropNulls, LocalPath, Name, Strict, explain, suggest
from .catalogue import BASE, Condition, Dataset, Evaluation, Lora, Model, Schedule, Server, Teacher, Training


def _ascending(name: str, values: list[Any]) -> None:
    if values != sorted(set(values)):
        raise ValueError(f"{name} must be ascending without repetition, not {values}")


Seed = Annotated[int, Field(ge=0, lt=2**31)]


class IclGap(Strict):
    """Phase 0: what demonstrations in the prompt are worth to each candidate model."""

    models: list[str] = Field(min_length=1, description="Candidate models.")
    shots: list[Annotated[int, Field(ge=0, le=64)]] = Field([0, 4, 8], min_length=2, description="Shots to compare.")
    questions: int | None = Field(16, ge=1, description="First test questions to use; null means all.")
    min_gap: float = Field(0.05, ge=0, le=1, description="Least gain of the most shots over the fewest.")
    min_floor: float = Field(0.05, ge=0, le=1, description="Least accuracy with the fewest shots.")

    @model_validator(mode="after")
    def _sensible(self) -> "IclGap":
        _ascending("shots", self.shots)
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models must not repeat, not {self.models}")
        return self


class Baselines(Strict):
    """The untrained model: 0-shot, and condition A with demonstrations in the prompt."""

    shots: list[Annotated[int, Field(ge=0, le=64)]] = Field([0, 8], min_length=1, description="Shots to evaluate.")
    demonstrations: Literal["per_example", "fixed"] = Field("per_example", description="As for a teacher.")
    seed: int = Field(42, ge=0, description="Seed of the draw of demonstrations.")

    @model_validator(mode="after")
    def _sensible(self) -> "Baselines":
        _ascending("shots", self.shots)
        return self


class Grid(Strict):
    """A study: every combination of its lists is one training run."""

    models: list[str] = Field(min_length=1, description="Models to train.")
    conditions: list[str] = Field(min_length=1, description="Conditions to train.")
    schedules: list[str] = Field(min_length=1, description="Schedules to train with.")
    lambdas: list[Annotated[float, Field(ge=0)]] | None = Field(
        None, min_length=1, description="Weights λ in place of each condition's own; plain fine-tuning has none."
    )
    seeds: list[Seed] | None = Field(None, min_length=1, description="In place of `seeds`.")


class Plots(Strict):
    """How figures look; changing it redraws them and reruns nothing else."""

    dpi: int = Field(200, ge=50, le=1200, description="Resolution of the PNG files.")
    width: float = Field(6.5, gt=1, le=30, description="Width of a figure in inches.")
    font_size: float = Field(9.0, ge=4, le=30, description="Font size in points.")


class Config(Strict):
    """workflow_config.yaml."""

    results: LocalPath = Field(
        "results",
        pattern=r"^[^*?\[\]]+$",
        description="Folder of everything that is produced; like every path here, `~` in it is written out.",
    )
    dataset: str = Field(description="Name of the dataset of this study.")
    seeds: list[Seed] = Field([42], min_length=1, description="Seeds of the training runs.")
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="bf16 where the device has it (float32 otherwise, which the log says), or fp32."
    )
    max_prompt_tokens: int = Field(4096, ge=32, description="A prompt longer than this is an error, never cut.")
    scorers: list[str] = Field(
        ["strict", "flexible"],
        min_length=1,
        description="Rules by which answers are scored, all of them from the same answers; tables have a column for "
        "each. Which there are depends on the dataset's task; every task has `strict` and `flexible`.",
    )
    metric: str = Field("strict", description="The scorer whose accuracy tables, figures and verdicts use.")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="Coverage of the intervals.")
    datasets: Annotated[dict[Name, Dataset], DropNulls] = Field(description="Datasets by name.")
    models: Annotated[dict[Name, Model], DropNulls] = Field(description="Models by name.")
    teachers: Annotated[dict[Name, Teacher], DropNulls] = Field({}, description="Teachers by name.")
    conditions: Annotated[dict[Name, Condition], DropNulls] = Field(description="Training conditions by name.")
    schedules: Annotated[dict[Name, Schedule], DropNulls] = Field(description="Training schedules by name.")
    lora: Lora = Field(Lora(), description="The adapter.")
    training: Training = Field(Training(), description="Optimisation.")
    evaluation: Evaluation = Field(Evaluation(), description="Generation on the test set.")
    server: Server = Field(Server(), description="The server of `evaluation.backend: server`.")
    trackers: list[Literal["tensorboard", "wandb", "mlflow"]] = Field(
        ["tensorboard"], description="Experiment trackers, through accelerate."
    )
    save_state_every: int = Field(
        20, ge=1, description="Optimizer steps between saved training states; no result depends on it."
    )
    baselines: Baselines = Field(Baselines(), description="Evaluations of the untrained models.")
    icl_gap: Annotated[dict[Name, IclGap], DropNulls] = Field({}, description="Phase 0 comparisons by name.")
    studies: Annotated[dict[Name, Grid], DropNulls] = Field(description="Grids of training runs by name.")
    published: LocalPath | None = Field(
        None,
        description="YAML file of published accuracies to show beside the measured ones; a relative path is looked up "
        "in the working folder, then beside the Snakefile.",
    )
    # Snakemake hands it to a shell as it is.
    container: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9./][A-Za-z0-9._:/@+-]*$",
        description="Container image of all jobs with `--sdm apptainer`, a file or an address; see envs/container.def.",
    )
    plots: Plots = Field(Plots(), description="Looks of the figures.")

    @field_validator("results")
    @classmethod
    def _own_folder(cls, results: str) -> str:
        if results in (".", "/"):
            raise ValueError("results need a folder of their own, such as 'results'")
        return results

    @model_validator(mode="after")
    def _references(self) -> "Config":
        wrong: list[str] = []

        def check(where: str, names: list[str], valid: dict[str, Any]) -> None:
            wrong.extend(f"{where}: unknown name '{n}'; {suggest(n, valid)}" for n in names if n not in valid)

        if BASE in self.conditions:
            wrong.append(f"conditions: the name '{BASE}' is taken by the untrained model; choose another")
        check("dataset", [self.dataset], self.datasets)
        for name, condition in self.conditions.items():
            if condition.target != "none":
                check(f"conditions.{name}.teacher", [condition.teacher], self.teachers)
        for name, gap in self.icl_gap.items():
            check(f"icl_gap.{name}.models", gap.models, self.models)
        for name, study in self.studies.items():
            check(f"studies.{name}.models", study.models, self.models)
            check(f"studies.{name}.conditions", study.conditions, self.conditions)
            check(f"studies.{name}.schedules", study.schedules, self.schedules)
        if not wrong:
            wrong = [*self._labels(), *self._warm_ups(), *self._pools(), *self._scorers()]
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    def _labels(self) -> Iterator[str]:
        """Two conditions that readers can't tell apart."""
        seen: dict[str, str] = {}
        for name, condition in self.conditions.items():
            if condition.label in seen:
                yield f"conditions.{name}.label: '{condition.label}' is the label of '{seen[condition.label]}' already"
            seen.setdefault(condition.label, name)

    def _scorers(self) -> Iterator[str]:
        """Scorers that the dataset's task doesn't have, and a metric that isn't scored."""
        task = self.datasets[self.dataset].task
        known = task_of(task).scorers
        for name in self.scorers:
            if name not in known:
                yield f"scorers: the task {task} has no scorer '{name}'; {suggest(name, known)}"
        if len(set(self.scorers)) != len(self.scorers):
            yield f"scorers must not repeat, not {self.scorers}"
        if self.metric not in self.scorers:
            yield f"metric: '{self.metric}' is not among the scorers; {suggest(self.metric, self.scorers)}"

    def _warm_ups(self) -> Iterator[str]:
        """Schedules that would end before the learning rate is up."""
        for name in dict.fromkeys(name for study in self.studies.values() for name in study.schedules):
            steps = self.schedules[name].max_steps
            if self.training.warmup_steps >= steps:
                yield (
                    f"training.warmup_steps: {self.training.warmup_steps} is not less than max_steps {steps} of "
                    f"schedule '{name}'"
                )

    def _pools(self) -> Iterator[str]:
        """More demonstrations than there are training examples to draw them from, as far as is known here."""
        dataset = self.datasets[self.dataset]
        sizes = [size for size in (getattr(dataset.source, "train", None), dataset.limit_train) if size]
        wanted = {f"teachers.{name}.shots": teacher.shots for name, teacher in self.teachers.items()}
        wanted |= {"baselines.shots": max(self.baselines.shots)}
        wanted |= {f"icl_gap.{name}.shots": gap.shots[-1] for name, gap in self.icl_gap.items()}
        for where, shots in wanted.items():
            if sizes and shots >= min(sizes):
                yield f"{where}: {shots} demonstrations can't be drawn from {min(sizes)} training examples"


def load(raw: dict[str, Any]) -> Config:
    """Validate a configuration as YAML gave it.

    Raises:
        ConfigError: one sentence a line with the key, the value and what is allowed.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"The configuration is wrong:\n{explain(error)}") from None
