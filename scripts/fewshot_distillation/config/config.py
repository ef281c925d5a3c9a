"""The whole configuration: every key of workflow_config.yaml."""

import os
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from .base import DropNulls, LocalPath, Name, Strict
from .catalogue import Dataset, Evaluation, Model, Schedule, Server, Training
from .conditions import Condition, Teacher
from .grid import DEFAULT, Grid, Seed
from .icl_gap import IclGap
from .plan import Plan
from .reruns import Rerun
from .wording import AS_IT_IS, Wording

# The teacher without demonstrations.
ZEROSHOT = "zeroshot"

# A condition or a base model's prompt, and what it is compared with.
Pair = Annotated[list[Name], Field(min_length=2, max_length=2)]


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
    """The keys at the top of workflow_config.yaml and of every overlay."""

    renamed: ClassVar[dict[str, str]] = {"lora": f"training.{DEFAULT}.lora"}

    results: LocalPath = Field(
        "results",
        pattern=r"^[^*?\[\]]+$",
        description="Folder of everything that is produced; like every path here, `~` in it is expanded.",
    )
    dataset: str = Field(description="Name of the dataset of this study.")
    seeds: list[Seed] = Field([42], min_length=1, description="Seeds of the training runs.")
    precision: Literal["bf16", "fp32"] = Field(
        "bf16", description="bf16 where the device computes in it (float32 elsewhere, as the log reports), or fp32."
    )
    prompt: Wording = Field(AS_IT_IS, description="Text around a question, and the date in templates.")
    max_prompt_tokens: int = Field(4096, ge=32, description="A prompt longer than this is an error, never cut.")
    scorers: list[str] = Field(
        ["strict", "flexible"],
        min_length=1,
        description="Rules by which answers are scored, all of them from the same answers; tables have a column for "
        "each. Every task has `strict` and `flexible`; GSM8K's also `study_code`, `lm_eval_strict` and "
        "`lm_eval_flexible`. What each counts as right is in `tasks/<task>.py` and in the analysis.",
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
        "which costs a step; 0 for none. Runs of no more steps than this have none. With several processes "
        "(`gpus.train` above 1) there are none either, as the log says.",
    )
    reruns: Annotated[dict[Name, Rerun], DropNulls] = Field(
        {},
        description="Evaluations of the base model that are repeated with another inference backend or in other "
        "batches, 0-shot and few-shot, so that a table shows the noise of generation: "
        "`{other_batches: {batch_tokens: 4096}}`.",
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
        if results in (".", "/") or os.path.basename(results) == "..":
            raise ValueError("results need a folder of their own, such as 'results'")
        return results

    @property
    def repeated_evaluations(self) -> list[Evaluation]:
        """How each rerun evaluates."""
        return [rerun.of(self.evaluation) for rerun in self.reruns.values()]

    @property
    def chosen(self) -> list[str]:
        """Names of the studies that are asked for."""
        return self.build or [name for name, study in self.studies.items() if not study.optional]

    @property
    def built(self) -> dict[str, Grid]:
        """The studies that are built: those asked for, and what goes along with them."""
        named = [each for name in self.chosen for each in (name, *self.studies[name].along)]
        return {name: self.studies[name] for name in dict.fromkeys(named)}
