"""Job specs: the complete, resolved input of each kind of job, passed as one JSON argument.

A spec holds what its job's results depend on and nothing else, so restyling a figure never retrains. Modules under
`config` are left out of the source digests: what they decide is in the specs.
"""

import hashlib
from typing import Any, Literal

from pydantic import Field

from .base import Strict, neutral
from .catalogue import Evaluation, Lora, Schedule, Training
from .conditions import QUESTION, Learning, Teacher
from .protocol import OwnProtocol
from .sources import DatasetSource, ModelSource
from .wording import AS_IT_IS, Wording

# What names runs that differ in nothing but their seeds, by column.
Group = dict[str, str | float | int]
Precision = Literal["bf16", "fp32"]


class FetchedModel(Strict):
    """A model as it is fetched; how it is asked later marks nothing of it as stale."""

    name: str
    source: ModelSource


class ModelSpec(FetchedModel):
    """A model and how it is asked, without what only scheduling needs."""

    chat_template: dict[str, bool | int | str]
    wording: Wording = Field(AS_IT_IS, exclude_if=neutral(AS_IT_IS))


class DatasetSpec(Strict):
    """A dataset by name and source."""

    name: str
    task: str = "gsm8k"
    source: DatasetSource
    validation: int = 0
    limit_train: int | None = None
    limit_test: int | None = None
    calculation_annotations: Literal["keep", "strip"] = "keep"
    on_bad_rows: Literal["refuse", "skip"] = "refuse"


class JobSpec(Strict):
    """What every job's spec can do."""

    def digest(self) -> str:
        """Return sixteen hexadecimal digits that name this spec."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()[:16]


class FetchModelSpec(JobSpec):
    model: FetchedModel


class FetchDatasetSpec(JobSpec):
    dataset: DatasetSpec


class PromptSpec(JobSpec):
    """Prompts of one kind for the questions of a dataset: with a teacher's demonstrations before each."""

    model: ModelSpec
    dataset: DatasetSpec
    teacher: Teacher
    labelled: int | None
    max_prompt_tokens: int
    precision: Precision


class GenerationSpec(PromptSpec):
    """Answers of the base model to questions of a split."""

    split: Literal["train", "test"]
    evaluation: Evaluation


class ActivationsSpec(PromptSpec):
    """Hidden states of a teacher reading every training example.

    `text` names whose answer follows each question: nobody's (`question`), the dataset's (`reference`) or a teacher's,
    by name. Behind a question the states of all layers are kept at its two positions; at answer tokens those of the
    last layer, and of `layers`.
    """

    teacher_name: str
    text: str = QUESTION
    layers: list[int] = []


class LogitsSpec(JobSpec):
    """Top-k next-token logits of a teacher, computed from its cached hidden states."""

    activations: ActivationsSpec
    top_k: int
    temperatures: list[float]


class SignalSpec(JobSpec):
    """How far the base model is from its teacher; `top_k` and `temperatures` are those of trained conditions."""

    activations: ActivationsSpec
    top_k: list[int]
    temperatures: list[float]


class TrainSpec(JobSpec):
    """One training run; `teachers` has every teacher that is learned from.

    `labelled` is how many training examples count as labelled, `train_examples` how many of the chosen ones are used.
    """

    model: ModelSpec
    dataset: DatasetSpec
    teachers: dict[str, Teacher]
    condition_name: str
    learning: Learning
    lam: float = Field(alias="lambda")
    seed: int
    schedule_name: str
    schedule: Schedule
    training: Training
    labelled: int | None
    train_examples: int | None
    precision: Precision

    @property
    def lora(self) -> Lora | None:
        """The adapter; None where all weights are trained."""
        return self.training.lora if self.training.adapter == "lora" else None


class EvaluateSpec(JobSpec):
    """Answers of every checkpoint of a run to the questions of a split, zero-shot."""

    model: ModelSpec
    dataset: DatasetSpec
    checkpoints: list[int]
    evaluation: Evaluation
    max_prompt_tokens: int
    precision: Precision


class ScoreSpec(JobSpec):
    """Accuracy of generated answers; `identity` is copied into every row, so that a table describes itself."""

    identity: dict[str, str | int | float]
    task: str = "gsm8k"
    scorers: list[str] = ["strict", "flexible"]
    metric: str
    confidence: float


class IclGapSummarySpec(JobSpec):
    """Which of the candidate models to use."""

    phase: str
    min_gap: float
    min_floor: float


class PlotSpec(JobSpec):
    """One figure, of a model or of a phase 0 comparison.

    `labels` and `prompts` name conditions and prompts of the base model as readers see them, `variants` adds to a label
    what tells the variants of its runs apart, and `lambdas` has each condition's own λ. `fewshot` is the prompt whose
    accuracy was published.
    """

    figure: str
    model: str | None
    phase: str | None = None
    labels: dict[str, str]
    prompts: dict[str, str]
    variants: dict[str, dict[str, str]] = {}
    fewshot: str | None = None
    lambdas: dict[str, float]
    dpi: int
    width: float
    font_size: float
    confidence: float
    # Published accuracies that are shown came about otherwise.
    other_protocol: bool = Field(False, exclude_if=neutral(False))


class AggregateSpec(JobSpec):
    """Tables and the summary of all studies.

    `labels` names conditions and `prompts` those of base models as readers see them; `variants` has, by condition and
    schedule, what is added to a label where a condition has several kinds of runs. `plain` is the condition that the
    others are measured against, `fewshot` the prompt that they are shown beside. `main` and `sweeps` list the groups of
    runs of each model's main comparison and λ sweep; `conditions` are those with a teacher. `families` are the
    comparisons that get a verdict, each a pair of names of conditions or prompts, and `margin` is the difference below
    which two accuracies are equivalent. `validation` counts the questions on which checkpoints and λ are chosen, and
    `scorers` describes when each scorer counts an answer as right. `protocol` is there where published accuracies are.
    """

    dataset: str
    validation: int
    labels: dict[str, str]
    prompts: dict[str, str]
    variants: dict[str, dict[str, str]] = {}
    conditions: dict[str, Learning]
    plain: str | None
    fewshot: str | None
    main: dict[str, list[Group]]
    sweeps: dict[str, list[Group]]
    families: dict[str, list[tuple[str, str]]]
    margin: float
    confidence: float
    scorers: dict[str, str]
    metric: str
    protocol: OwnProtocol | None = Field(None, exclude_if=neutral(None))


class AnalysisSpec(JobSpec):
    """The written analysis; `figures` maps their paths, relative to it, to captions.

    `config` holds the settings that the method's description names.
    """

    figures: dict[str, str]
    plain_label: str | None
    config: dict[str, Any] = {}


class ReportSpec(JobSpec):
    """The page; `figures` maps paths below the results folder to captions, `templates` is a digest of its templates.

    `labels` and `prompts` are what readers see for the name of a condition or of a base model's prompt.
    """

    title: str
    figures: dict[str, str]
    labels: dict[str, str]
    prompts: dict[str, str]
    templates: str


class Candidate(Strict):
    """A run that may be exported."""

    condition: str
    label: str
    learning: Learning
    lam: float = Field(alias="lambda")
    seed: int
    schedule: str


class ExportSpec(JobSpec):
    """What an exported model is and what its card contains; licences are those of the configuration.

    `labels` and `prompts` name conditions and prompts of the base model, `right` describes when an answer counts as
    right, and `command` is what a person types to make it again.
    """

    templates: str

    model: ModelSpec
    license: str | None
    dataset: DatasetSpec
    dataset_license: str | None
    teachers: dict[str, Teacher]
    candidates: list[Candidate]
    labels: dict[str, str]
    prompts: dict[str, str]
    evaluation: Evaluation
    metric: str
    right: str
    confidence: float
    precision: Precision
    command: str
