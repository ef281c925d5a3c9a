"""How an accuracy came about, in the same words for published tables and for the study at hand."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .base import Name, Strict
from .catalogue import Draw, Lora
from .conditions import Learning, Teacher
from .wording import Wording

Arguments = dict[str, bool | int | str]
Objective = dict[str, Any]
# What names a teacher in an objective is its prompt, not what a configuration calls it.
SHOWN = ("shots", "demonstrations", "content")
# The questions of the main study, beside those of phase 0, which have names.
MAIN = ""


def objective_of(learning: Learning, teachers: dict[str, Teacher]) -> Objective:
    """Write an objective without names that a configuration is free to choose; λ belongs to a run."""
    dumped = learning.model_dump(mode="json", by_alias=True)
    for target in dumped["targets"]:
        shown = teachers[target["teacher"]].model_dump(mode="json")
        target["teacher"] = {key: shown[key] for key in SHOWN} if shown["shots"] else {"shots": 0}
    return dumped


def _written(value: Any) -> Any:
    """Complete an objective as published.yaml writes it, which is as a condition without a label."""
    if not isinstance(value, dict):
        return value
    own = {key: given for key, given in value.items() if key in Learning.model_fields}
    single = {key: given for key, given in value.items() if key not in Learning.model_fields}
    given = own.pop("targets", [single] if single else [])
    targets, teachers = [], {}
    for number, target in enumerate(given):
        if not isinstance(target, dict) or not isinstance(target.get("teacher"), dict):
            raise ValueError("a target needs its teacher's prompt, such as teacher: {shots: 8}")
        teachers[str(number)] = Teacher(**target["teacher"])
        targets.append(target | {"teacher": str(number)})
    return objective_of(Learning(**own, targets=targets), teachers)


class Course(Strict):
    """The learning rate of every step, and how many there are."""

    learning_rate: float = Field(gt=0, description="Peak.")
    warmup_steps: int = Field(ge=0, description="Steps of the schedule that warm up.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field(description="Decay after the warm-up.")
    scheduler_steps_per_step: int = Field(1, ge=1, description="Steps of the schedule in an optimizer step.")
    max_steps: int = Field(ge=1, description="Optimizer steps.")


class Recipe(Strict):
    """What else decides how a run is trained."""

    adapter: Literal["lora", "none"] = Field("lora", description="What is trained.")
    lora: Lora | None = Field(None, description="The adapter, if there is one.")
    optimizer: str = Field("adamw", description="The optimizer.")
    weight_decay: float = Field(ge=0, description="Decoupled weight decay.")
    max_grad_norm: float = Field(gt=0, description="Largest gradient norm.")
    effective_batch_size: int = Field(ge=1, description="Examples in an optimizer step.")
    max_tokens: int = Field(ge=1, description="Longest training sequence in tokens.")
    train_examples: int | None = Field(None, ge=1, description="Training examples; null for all there are.")
    validation: int = Field(0, ge=0, description="Training rows that are set aside.")
    calculation_annotations: Literal["keep", "strip"] = Field("keep", description="Marks such as `<<2+3=5>>`.")


class Asked(Strict):
    """The arguments of the chat template, by purpose; those that a template doesn't use don't count."""

    base: Arguments = Field({}, description="Where the base model answers.")
    tuned: Arguments = Field({}, description="Where a trained one does.")


class EvaluationSet(Strict):
    """The rows that test questions are taken from."""

    dataset: Name = Field(description="Dataset, by the name in workflow_config.yaml.")
    split: Literal["test"] = Field("test", description="Its split.")
    hub: str | None = Field(None, description="Where it was taken from; rows from elsewhere are taken to be the same.")
    rows: int | None = Field(None, ge=1, description="Only its first rows; null for all.")


class Protocol(Strict):
    """How the accuracies of a published table came about; what isn't known is left out.

    What belongs to training says nothing of a row of the base model.
    """

    commit: str | None = Field(
        None, pattern=r"^[0-9a-f]{7,40}$", description="Of the study's repository, at which its code was read."
    )
    models: dict[Name, str] = Field(
        {}, description="Repository of each model; one that is taken from elsewhere is taken to be the same."
    )
    objective: dict[Name, Annotated[Objective, BeforeValidator(_written)]] = Field(
        {}, description="The loss of each condition, written as a condition with the teacher's prompt in its place."
    )
    schedule: Course | None = Field(None, description="The learning rate.")
    recipe: Recipe | None = Field(None, description="The rest of training.")
    precision: Literal["bf16", "fp32"] | None = Field(None, description="In which the layers compute.")
    prompt: Wording | None = Field(None, description="What is said around a question.")
    demonstrations: Literal["per_example", "fixed"] | None = Field(
        None, description="Drawn anew for every test question, or one set for all."
    )
    thinking: Asked | None = Field(None, description="Arguments of the chat template.")
    max_new_tokens: int | None = Field(None, ge=1, description="Longest answer in tokens.")
    scorer: str | None = Field(None, description="The rule by which an answer counts as right.")
    questions: Literal["all"] | Draw | int | None = Field(
        None, description="Test questions: `all`, the first so many, or a draw with its seed."
    )
    seeds: Literal["unseeded"] | list[int] | None = Field(
        None, description="Of the adapter and of the order of the data. An unseeded run is matched by any seed."
    )
    evaluation_set: EvaluationSet | None = Field(None, description="Where the questions come from.")
    checkpoint: Literal["last", "named", "best_on_test", "best_on_validation"] | None = Field(
        None, description="Which checkpoint a row is of: the last, the one whose step it names, or the best on a set."
    )
    apart: str | None = Field(None, min_length=1, description="A point that no setting here reproduces.")


class OwnRun(Strict):
    """How the runs of a model with a schedule and a recipe are trained."""

    schedule: Course
    recipe: Recipe


class OwnModel(Strict):
    """How a model is asked, and what its runs are."""

    hub: str | None
    prompt: Wording
    thinking: Asked
    runs: dict[str, OwnRun] = {}


class OwnQuestions(Strict):
    """Who is asked what: in the main study, or in a comparison of phase 0."""

    models: list[str]
    questions: Literal["all"] | Draw | int
    demonstrations: dict[int, str]


class OwnProtocol(Strict):
    """The same of the study at hand, for whatever rows a published file has; only what is built counts."""

    objective: dict[str, Objective]
    models: dict[str, OwnModel]
    precision: str
    asked: dict[str, OwnQuestions]
    max_new_tokens: int
    scorers: list[str]
    metric: str
    seeds: list[int]
    evaluation_set: EvaluationSet
