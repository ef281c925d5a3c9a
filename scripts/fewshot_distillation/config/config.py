"""The whole configuration, and the checks that need to see more than one entry."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from ..tasks import task_of
from .base import ConfigError, DropNulls, LocalPath, Name, Strict, explain, suggest
from .catalogue import BASE, Dataset, Evaluation, Model, Questions, Schedule, Server, Training
from .conditions import QUESTION, REFERENCE, Condition, Teacher
from .plan import Plan


def _ascending(name: str, values: list[Any]) -> None:
    if values != sorted(set(values)):
        raise ValueError(f"{name} must be ascending without repetition, not {values}")


# A condition or a base model's prompt, and what it is compared with.
Pair = Annotated[list[Name], Field(min_length=2, max_length=2)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


ZEROSHOT = "zeroshot"
DEFAULT = "default"


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
        _ascending("shots", self.shots)
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models must not repeat, not {self.models}")
        return self


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


def _recipes(value: Any) -> Any:
    """Give every recipe what it leaves out of the default one; settings without a name are those of an old version."""
    if not isinstance(value, dict):
        return value
    if loose := [key for key, given in value.items() if given is not None and not isinstance(given, dict | Training)]:
        raise ValueError(
            f"'{loose[0]}' is a setting of a recipe, and recipes have names; put it under `{DEFAULT}:`, as in "
            f"training: {{{DEFAULT}: {{{loose[0]}: …}}}}"
        )
    default = value.get(DEFAULT) or {}
    if not isinstance(default, dict):
        return value
    return {
        name: {**default, **given} if isinstance(given, dict) else given
        for name, given in ({DEFAULT: {}} | value).items()
        if given is not None
    }


def _names_of_teachers(value: Any) -> Any:
    if isinstance(value, dict):
        raise ValueError(f"a list of teachers' names is expected, such as [{ZEROSHOT}, fewshot]")
    return value


def _with_zeroshot(value: Any) -> Any:
    return {ZEROSHOT: {"shots": 0}} | value if isinstance(value, dict) else value


class Plots(Strict):
    """How figures look; changing it redraws them and reruns nothing else."""

    dpi: int = Field(200, ge=50, le=1200, description="Resolution of the PNG files.")
    width: float = Field(6.5, gt=1, le=30, description="Width of a figure in inches.")
    font_size: float = Field(9.0, ge=4, le=30, description="Font size in points.")


class Config(Strict):
    """workflow_config.yaml."""

    renamed: ClassVar[dict[str, str]] = {"lora": f"training.{DEFAULT}.lora"}

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
    confidence: float = Field(
        0.95, gt=0.5, lt=1, description="Coverage of the intervals; 1 minus it is the level of every test."
    )
    equivalence_margin: float = Field(
        0.02, gt=0, lt=1, description="Difference in accuracy below which two conditions count as equivalent."
    )
    comparisons: Annotated[dict[Name, list[Pair]], DropNulls] = Field(
        {},
        description="Comparisons that get a verdict, as families of pairs: `family: [[condition, against], …]`, each a "
        "condition, or a teacher for the base model with its prompt. The p-values of a family are corrected together. "
        "Without any: every condition against the one without a teacher.",
    )
    datasets: Annotated[dict[Name, Dataset], DropNulls] = Field(description="Datasets by name.")
    models: Annotated[dict[Name, Model], DropNulls] = Field(description="Models by name.")
    labelled: int | None = Field(
        None,
        ge=1,
        description="How many training rows count as labelled, drawn once for all: what `labelled` and `unlabelled` of "
        "teachers and conditions mean.",
    )
    teachers: Annotated[dict[Name, Teacher], BeforeValidator(_with_zeroshot), DropNulls] = Field(
        {ZEROSHOT: Teacher(shots=0)},
        description=f"Prompts by name; `{ZEROSHOT}`, without demonstrations, is always there.",
    )
    conditions: Annotated[dict[Name, Condition], DropNulls] = Field(description="Training conditions by name.")
    schedules: Annotated[dict[Name, Schedule], DropNulls] = Field(description="Training schedules by name.")
    training: Annotated[dict[Name, Training], BeforeValidator(_recipes)] = Field(
        {DEFAULT: Training()},
        description=f"Training recipes by name; others take from `{DEFAULT}` what they leave out.",
    )
    evaluation: Evaluation = Field(Evaluation(), description="Generation on the test set.")
    server: Server = Field(Server(), description="The server of `evaluation.backend: server`.")
    trackers: list[Literal["tensorboard", "wandb", "mlflow"]] = Field(
        ["tensorboard"], description="Experiment trackers, through accelerate."
    )
    save_state_every: int = Field(
        20, ge=1, description="Optimizer steps between saved training states; no result depends on it."
    )
    log_gradients_every: int = Field(
        50,
        ge=0,
        description="Optimizer steps between measurements of the gradients of cross-entropy and distillation, each of "
        "which costs a step; 0 for none.",
    )
    baselines: Annotated[list[str], BeforeValidator(_names_of_teachers)] | None = Field(
        None,
        min_length=1,
        description=f"Teachers whose prompts the base model answers test questions with; null for `{ZEROSHOT}` and all "
        "that a trained condition names.",
    )
    icl_gap: Annotated[dict[Name, IclGap], DropNulls] = Field({}, description="Phase 0 comparisons by name.")
    studies: Annotated[dict[Name, Grid], DropNulls] = Field(description="Grids of training runs by name.")
    build: list[str] | None = Field(
        None, min_length=1, description="Studies that are built; null for all but the `optional` ones."
    )
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
    plan: Plan = Field(Plan(), description="Assumptions of `snakemake plan`.")
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
            wrong.append(f"conditions: the name '{BASE}' is taken by the base model; choose another")
        for name in (QUESTION, REFERENCE):
            if name in self.teachers:
                wrong.append(f"teachers: the name '{name}' is taken by what teachers read; choose another")
        check("dataset", [self.dataset], self.datasets)
        check("baselines", self.baselines or [], self.teachers)
        check("build", self.build or [], self.studies)
        for name, condition in self.conditions.items():
            for n, target in enumerate(condition.all_targets):
                place = f"targets.{n}." if condition.several else ""
                check(f"conditions.{name}.{place}teacher", [target.teacher], self.teachers)
            if condition.answers != REFERENCE:
                check(f"conditions.{name}.answers", [condition.answers], self.teachers)
        for name, gap in self.icl_gap.items():
            check(f"icl_gap.{name}.models", gap.models, self.models)
            check(f"icl_gap.{name}.teacher", [gap.teacher], self.teachers)
        for name, study in self.studies.items():
            check(f"studies.{name}.models", study.models, self.models)
            check(f"studies.{name}.conditions", study.conditions, self.conditions)
            check(f"studies.{name}.schedules", study.schedules, self.schedules)
            check(f"studies.{name}.recipes", study.recipes, self.training)
        for family, pairs in self.comparisons.items():
            for ours, theirs in pairs:
                check(f"comparisons.{family}", [ours, theirs], self.teachers | self.conditions)
                if ours == theirs:
                    wrong.append(f"comparisons.{family}: '{ours}' is compared with itself; name two")
        if not wrong:
            wrong = [*self._labels(), *self._warm_ups(), *self._adapters(), *self._labelled(), *self._pools()]
            wrong += self._scorers()
        if wrong:
            raise ValueError("\n".join(wrong))
        return self

    @property
    def built(self) -> dict[str, Grid]:
        """The studies that are built."""
        chosen = self.build or [name for name, study in self.studies.items() if not study.optional]
        return {name: self.studies[name] for name in chosen}

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
        pairs = ((s, r) for study in self.studies.values() for s in study.schedules for r in study.recipes)
        for schedule, recipe in dict.fromkeys(pairs):
            steps, warmup = self.schedules[schedule].max_steps, self.training[recipe].warmup_steps
            if warmup >= steps:
                yield (
                    f"training.{recipe}.warmup_steps: {warmup} is not less than max_steps {steps} of schedule "
                    f"'{schedule}'"
                )

    def _adapters(self) -> Iterator[str]:
        """Settings of a model's adapter that are wrong together with a recipe's."""
        for name, model in self.models.items():
            for recipe in self.training.values():
                try:
                    recipe.lora_of(model)
                except ValidationError as error:
                    yield from (f"models.{name}.lora.{line}" for line in explain(error).splitlines())
                    break

    def _labelled(self) -> Iterator[str]:
        """Labelled examples that are spoken of without a number of them."""
        if self.labelled is not None:
            return
        for name, teacher in self.teachers.items():
            if teacher.pool == "labelled":
                yield f"teachers.{name}.pool: there are no labelled examples; say how many with `labelled`"
        for name, condition in self.conditions.items():
            for key in ("examples", "sft_examples"):
                if getattr(condition, key) in ("labelled", "unlabelled"):
                    yield f"conditions.{name}.{key}: there are no labelled examples; say how many with `labelled`"

    def _pools(self) -> Iterator[str]:
        """More demonstrations than there are training examples to draw them from, as far as is known here."""
        dataset = self.datasets[self.dataset]
        known = [size for size in (getattr(dataset.source, "train", None), dataset.limit_train) if size]
        train = min(known) - dataset.validation if known else None
        if train is not None and train < 1:
            yield f"datasets.{self.dataset}.validation: {dataset.validation} rows can't be set aside of {min(known)}"
            return
        if train is not None and (self.labelled or 0) > train:
            yield f"labelled: {self.labelled} is more than the {train} training examples"
        wanted = {f"teachers.{name}.shots": (t.shots, t.pool) for name, t in self.teachers.items()}
        for name, gap in self.icl_gap.items():
            wanted |= {f"icl_gap.{name}.shots": (gap.shots[-1], self.teachers[gap.teacher].pool)}
        for where, (shots, pool) in wanted.items():
            # One more than the demonstrations, since a training question is never shown itself.
            most = self.labelled if pool == "labelled" else train and train - 1
            if most is not None and shots > most:
                held = self.labelled if pool == "labelled" else train
                yield f"{where}: {shots} demonstrations can't be drawn from {held} training examples"


def load(raw: dict[str, Any]) -> Config:
    """Validate a configuration as YAML gave it.

    Raises:
        ConfigError: one sentence a line with the key, the value and what is allowed.
    """
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"The configuration is wrong:\n{explain(error)}") from None
