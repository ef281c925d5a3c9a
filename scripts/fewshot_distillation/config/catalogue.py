"""The catalogue's entries: models, datasets, teachers, conditions, schedules and what training and evaluation use."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from ..tasks import TASKS, task_of
from .base import LocalPath, Strict
from .engines import engine_modules, engines
from .sources import DatasetSource, ModelSource

# What tables call the untrained model, in the place of a condition.
BASE = "base"

Position = Literal["question_end", "prompt_end"]
POSITIONS: tuple[Position, ...] = ("question_end", "prompt_end")


class Gpus(Strict):
    """GPUs for each kind of job; changing them never changes what is computed."""

    teacher: int = Field(1, ge=1, description="GPUs of a job that reads training questions; each runs one process.")
    train: int = Field(1, ge=1, description="GPUs of a training job; each runs one process.")
    evaluate: int = Field(1, ge=1, description="GPUs of a job that answers questions; vLLM uses all of them.")


class Model(Strict):
    """A causal language model."""

    source: ModelSource = Field(description="Where the weights and the tokenizer come from.")
    chat_template: dict[str, bool | int | str] = Field(
        {}, description="Arguments of the chat template, such as `enable_thinking: false`."
    )
    gpus: Gpus = Field(Gpus(), description="GPUs that jobs of this model ask a cluster for.")
    accelerate: LocalPath | None = Field(
        None,
        description="Configuration file of `accelerate launch` that spreads training by FSDP version 2 or DeepSpeed, "
        "such as `envs/accelerate-fsdp.yaml`; relative paths are seen from the working folder. No result depends on "
        "it.",
    )
    gradient_checkpointing: bool = Field(
        False,
        description="Compute layers a second time in the backward pass instead of keeping their activations, which "
        "takes less memory. No result depends on it.",
    )


class Dataset(Strict):
    """Questions and the answers to them."""

    renamed: ClassVar[dict[str, str]] = {"calculator_marks": "calculation_annotations"}

    source: DatasetSource = Field(description="Where the rows come from.")
    task: Literal[TASKS] = Field(
        "gsm8k",
        description="How rows are asked, answered and scored: `gsm8k` (columns `question` and `answer`, a worked "
        "answer that ends in `#### <number>`) or `multiple_choice` (`question`, `choices`, `answer`, and an "
        "`explanation` if there is one).",
    )
    limit_train: int | None = Field(None, ge=1, description="Use only the first rows of the training split.")
    limit_test: int | None = Field(None, ge=1, description="Use only the first rows of the test split.")
    calculation_annotations: Literal["keep", "strip"] = Field(
        "keep", description="GSM8K's `<<48/2=24>>` in worked answers: kept, as published, or taken out at fetch."
    )
    on_bad_rows: Literal["refuse", "skip"] = Field(
        "refuse",
        description="A row that the task can't read, such as one without a reference, ends the fetch (`refuse`), or is "
        "left out and counted in meta.json and the analysis (`skip`).",
    )

    @model_validator(mode="after")
    def _fits_the_task(self) -> "Dataset":
        writes = {"word_problems": "gsm8k", "arithmetic_choices": "multiple_choice"}
        generator = getattr(self.source, "generator", None)
        if generator and writes[generator] != self.task:
            raise ValueError(
                f"generator '{generator}' writes rows of the task {writes[generator]}, not {self.task}; set task: "
                f"{writes[generator]}"
            )
        if self.calculation_annotations == "strip" and task_of(self.task).annotations is None:
            raise ValueError(
                f"calculation_annotations: rows of the task {self.task} have none to strip; remove the key"
            )
        return self


class Teacher(Strict):
    """The frozen model with demonstrations in its prompt."""

    shots: int = Field(8, ge=0, le=64, description="Demonstrations in the prompt; 0 is the zero-shot control.")
    demonstrations: Literal["per_example", "fixed"] = Field(
        "per_example", description="Drawn anew for every example, or one set for all; never the example itself."
    )
    seed: int = Field(42, ge=0, description="Seed of the draw.")


class Sft(Strict):
    """Answers only: the cross-entropy of ordinary supervised fine-tuning."""

    label: str = Field(min_length=1, max_length=60, description="Name in tables and legends.")

    target: Literal["none"] = Field("none", description="No teacher.")
    lam: float = Field(0.0, ge=0, le=0, alias="lambda", description="There is no distillation term to weigh.")


class Distillation(Strict):
    """What every condition with a teacher has."""

    label: str = Field(min_length=1, max_length=60, description="Name in tables and legends.")
    teacher: str = Field(description="Name of the teacher whose targets are learned.")
    position: Position = Field(
        "question_end",
        description="`question_end`: last token before the generation prompt; `prompt_end`: last token of the prompt.",
    )
    lam: float = Field(0.5, ge=0, alias="lambda", description="Weight λ of the distillation term.")


class HiddenStates(Distillation):
    """Layer-wise distillation: L = L_CE + λ Σ_l ‖ĥ_l(student) − ĥ_l(teacher)‖²."""

    target: Literal["hidden_states"] = Field(description="Hidden states of the teacher.")
    layers: Literal["all"] | list[Annotated[int, Field(ge=0)]] = Field(
        "all", description="`all`, or layer numbers counted from 0."
    )
    normalize: bool = Field(True, description="Scale each hidden state to unit L2 norm first.")
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="`sum` over layers and features (the documented objective) or `mean`; batches are averaged."
    )

    @model_validator(mode="after")
    def _ascending_layers(self) -> "HiddenStates":
        if self.layers != "all" and (not self.layers or self.layers != sorted(set(self.layers))):
            raise ValueError(f"layers must be 'all' or ascending layer numbers without repetition, not {self.layers}")
        return self

    @property
    def loss(self) -> str:
        return "layerwise"


class Logits(Distillation):
    """Logit distillation: T² KL(teacher ‖ student) over the teacher's top-k tokens."""

    renamed: ClassVar[dict[str, str]] = {"tail": "missing_probability"}

    target: Literal["logits"] = Field(description="Next-token logits of the teacher.")
    divergence: Literal["forward_kl"] = Field("forward_kl", description="Divergence between the distributions.")
    temperature: float = Field(2.0, gt=0, le=100, description="Temperature T of both distributions.")
    top_k: int = Field(1024, ge=1, description="Teacher tokens kept.")
    missing_probability: Literal["renormalise", "bucket", "teacher_only"] = Field(
        "renormalise",
        description="Mass outside the top k: `renormalise` both over the top k, one `bucket` token for the rest, or "
        "`teacher_only` (only the teacher renormalised, as published).",
    )

    @property
    def loss(self) -> str:
        return self.divergence


def _target(value: Any) -> str:
    return value.get("target") or "none" if isinstance(value, dict) else getattr(value, "target", "none")


Condition = Annotated[
    Annotated[Sft, Tag("none")] | Annotated[HiddenStates, Tag("hidden_states")] | Annotated[Logits, Tag("logits")],
    Discriminator(
        _target,
        custom_error_type="target",
        custom_error_message="target must be hidden_states or logits, or be left out for plain fine-tuning",
    ),
]


class Lora(Strict):
    """The adapter that `training.adapter: lora` trains; the base weights stay frozen."""

    r: int = Field(16, ge=1, description="Rank.")
    alpha: int = Field(32, ge=1, description="Scale; the update is multiplied by alpha / r.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: list[str] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        min_length=1,
        description="Linear modules that get an adapter.",
    )


class Training(Strict):
    """Optimisation (AdamW), the same for every condition."""

    renamed: ClassVar[dict[str, str]] = {
        "lr": "learning_rate",
        "scheduler": "lr_scheduler",
        "grad_clip": "max_grad_norm",
    }

    adapter: Literal["lora", "none"] = Field(
        "lora",
        description="What is trained: a LoRA adapter, or with `none` all weights, which wants a lower "
        "`learning_rate` and about 16 bytes of GPU memory a parameter.",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    warmup_steps: int = Field(50, ge=0, description="Optimizer steps of linear warm-up.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field("cosine", description="Decay after the warm-up.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Largest gradient norm.")
    effective_batch_size: int = Field(32, ge=1, description="Examples in an optimizer step, over all processes.")
    micro_batch_size: int = Field(4, ge=1, description="Examples in a forward pass; divides the effective batch.")
    max_tokens: int = Field(
        512, ge=16, description="Longest training sequence in tokens; longer answers are cut, counted and reported."
    )

    @model_validator(mode="after")
    def _divides(self) -> "Training":
        if self.effective_batch_size % self.micro_batch_size:
            raise ValueError(
                f"micro_batch_size {self.micro_batch_size} does not divide effective_batch_size "
                f"{self.effective_batch_size}; choose a divisor"
            )
        return self


class Schedule(Strict):
    """How long to train and which checkpoints to keep."""

    max_steps: int = Field(ge=1, description="Optimizer steps; the learning-rate schedule ends here.")
    checkpoints: list[Annotated[int, Field(ge=1)]] = Field(
        min_length=1, description="Steps at which a checkpoint is kept and evaluated, ascending, at most max_steps."
    )

    @model_validator(mode="after")
    def _ascending(self) -> "Schedule":
        if self.checkpoints != sorted(set(self.checkpoints)):
            raise ValueError(f"checkpoints must be ascending without repetition, not {self.checkpoints}")
        if self.checkpoints[-1] > self.max_steps:
            raise ValueError(f"checkpoint step {self.checkpoints[-1]} lies beyond max_steps {self.max_steps}")
        return self


class Server(Strict):
    """A server with OpenAI's completions protocol, used with `evaluation.backend: server`; see docs/backends.md.

    An API key is read from the environment variable OPENAI_API_KEY. Changing an address reruns nothing.
    """

    url: str = Field("http://127.0.0.1:8000/v1", pattern=r"^https?://\S+$", description="Address, ending in /v1.")
    model: str | None = Field(
        None, description="Name of the model on the server; null for the name here, the hub's, or the folder."
    )
    concurrency: int = Field(64, ge=1, le=1024, description="Requests at a time.")
    timeout: float = Field(600, gt=0, description="Seconds until a request is given up and tried again.")


class Evaluation(Strict):
    """Greedy generation on the test questions."""

    backend: Literal[("auto", *engines())] = Field(
        "auto",
        description="Inference backend; `auto` is vLLM on a GPU where it is installed, else transformers.",
    )
    max_new_tokens: int = Field(512, ge=1, description="Longest answer in tokens.")
    batch_tokens: int = Field(
        65536,
        ge=256,
        description="Prompt and answer tokens of a batch together; bounds the memory of `transformers`, and is nothing "
        "to the other engines.",
    )
    questions: int | None = Field(None, ge=1, description="Evaluate only the first test questions; null means all.")

    @property
    def modules(self) -> list[str]:
        """Package modules of the backends that may generate, as code digests name them."""
        return engine_modules(self.backend)
