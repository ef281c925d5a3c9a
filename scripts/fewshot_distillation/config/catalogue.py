"""The catalogue's entries: models, datasets, training recipes, schedules, and what evaluation uses."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..tasks import TASKS, task_of
from .base import DropNulls, LocalPath, Strict, neutral
from .engines import engine_modules, engines
from .sources import DatasetSource, ModelSource
from .wording import Wording

# What tables call the base model, in the place of a condition.
BASE = "base"


class Gpus(Strict):
    """GPUs for each kind of job; changing them never changes what is computed."""

    teacher: int = Field(1, ge=1, description="GPUs of a job that reads training questions; each runs one process.")
    train: int = Field(1, ge=1, description="GPUs of a training job; each runs one process.")
    evaluate: int = Field(1, ge=1, description="GPUs of a job that answers questions; vLLM uses all of them.")


class Model(Strict):
    """A causal language model."""

    source: ModelSource = Field(description="Where the weights and the tokenizer come from.")
    chat_template: Annotated[dict[str, bool | int | str], DropNulls] = Field(
        {}, description="Arguments of the chat template, such as `enable_thinking: false`."
    )
    chat_template_base: dict[str, bool | int | str] | None = Field(
        None,
        description="In the place of `chat_template` where the base model answers test questions (baselines, phase 0); "
        "null for the same. Teachers and students always use the same prompt format.",
    )
    prompt: Wording | None = Field(
        None,
        description="What differs from the study's `prompt` for this model.",
    )
    gpus: Gpus = Field(Gpus(), description="GPUs that jobs of this model ask a cluster for.")
    accelerate: LocalPath | None = Field(
        None,
        description="Configuration file of `accelerate launch` that shards training by FSDP version 2 or DeepSpeed, "
        "such as `envs/accelerate-fsdp.yaml`; relative paths are seen from the working folder. No result depends on "
        "it.",
    )
    lora: dict[str, Any] = Field(
        {}, description="Settings of the recipes' `lora` that differ for this model, such as `target_modules`."
    )
    micro_batch_tokens: int | None = Field(
        None, ge=16, description="In place of the recipes' `micro_batch_tokens`, for a model of another size."
    )
    license: str | None = Field(
        None, max_length=60, description="Licence of the weights, for cards of exported models, such as `apache-2.0`."
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
    validation: int = Field(
        0,
        ge=0,
        description="Training rows that are set aside when the dataset is fetched: never trained on and never a "
        "demonstration; λ and each run's checkpoint are chosen on them.",
    )
    limit_train: int | None = Field(None, ge=1, description="Use only the first rows of the training split.")
    limit_test: int | None = Field(None, ge=1, description="Use only the first rows of the test split.")
    calculation_annotations: Literal["keep", "strip"] = Field(
        "keep", description="GSM8K's `<<48/2=24>>` in worked answers: kept, as published, or removed at fetch."
    )
    license: str | None = Field(
        None, max_length=60, description="Licence of the data, for cards of exported models, such as `mit`."
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


class Lora(Strict):
    """The adapter of a recipe with `adapter: lora`; the base weights stay frozen."""

    r: int = Field(16, ge=1, description="Rank.")
    alpha: int = Field(32, ge=1, description="Scale; the update is multiplied by alpha / r.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: list[str] = Field(
        ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        min_length=1,
        description="Linear modules that get an adapter.",
    )


class Training(Strict):
    """A training recipe; several by name can be compared, and what one leaves out it takes from `default`."""

    renamed: ClassVar[dict[str, str]] = {
        "lr": "learning_rate",
        "scheduler": "lr_scheduler",
        "grad_clip": "max_grad_norm",
    }
    replaced: ClassVar[dict[str, str]] = {
        "micro_batch_size": "set micro_batch_tokens, which counts tokens and not examples, to about as many examples "
        "times max_tokens: micro_batch_tokens: 2048 for 4 examples of 512 tokens"
    }

    adapter: Literal["lora", "none"] = Field(
        "lora",
        description="What is trained: a LoRA adapter, or with `none` all weights, which needs a lower `learning_rate` "
        "and about 16 bytes of GPU memory a parameter.",
    )
    lora: Lora = Field(Lora(), description="The adapter.")
    optimizer: Literal["adamw", "adam", "sgd"] = Field(
        "adamw",
        exclude_if=neutral("adamw"),
        description="PyTorch's AdamW, Adam (whose weight decay is part of the gradient), or SGD with momentum 0.9.",
    )
    learning_rate: float = Field(2e-4, gt=0, description="Peak learning rate.")
    warmup_steps: int = Field(50, ge=0, description="Optimizer steps of linear warm-up.")
    lr_scheduler: Literal["cosine", "linear", "constant"] = Field("cosine", description="Decay after the warm-up.")
    scheduler_steps_per_step: int = Field(
        1,
        ge=1,
        le=64,
        exclude_if=neutral(1),
        description="Steps of the learning-rate schedule in one optimizer step. With 1 the schedule ends where "
        "training does. A trainer that hands its scheduler to accelerate takes one for each process: "
        "warm-up is shorter, and a cosine is at zero early and rises again.",
    )
    weight_decay: float = Field(0.01, ge=0, description="Weight decay, decoupled from the gradient with `adamw`.")
    max_grad_norm: float = Field(1.0, gt=0, description="Largest gradient norm.")
    effective_batch_size: int = Field(32, ge=1, description="Examples in an optimizer step, over all processes.")
    micro_batch_tokens: int = Field(
        16384,
        ge=16,
        description="Tokens of a forward pass, into which sequences are packed without padding; more passes are made "
        "where a batch has more. It bounds memory.",
    )
    max_tokens: int = Field(
        512, ge=16, description="Longest training sequence in tokens; longer answers are cut, counted and reported."
    )
    compile: Literal["auto"] | bool = Field(
        "auto",
        description="Compile the layers with torch.compile; `auto` does on a GPU where the schedule is long enough to "
        "earn back what compiling costs.",
    )

    def lora_of(self, model: Model) -> Lora:
        """Return the adapter of a model: the recipe's, with what differs for the model."""
        return Lora(**{**self.lora.model_dump(), **model.lora})


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
            raise ValueError(f"checkpoint step {self.checkpoints[-1]} is beyond max_steps {self.max_steps}")
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


class Draw(Strict):
    """Questions that are drawn instead of the first ones."""

    count: int = Field(ge=1, description="How many.")
    seed: int = Field(42, ge=0, description="Seed of the draw.")


# Which test questions are asked: the first so many, so many that are drawn, or (null) all.
Questions = Annotated[int, Field(ge=1)] | Draw | None


def questions_text(questions: int | Draw | None) -> str:
    """Return the name of a selection in paths: `all`, `first16`, `drawn16seed42`."""
    if questions is None:
        return "all"
    return f"first{questions}" if isinstance(questions, int) else f"drawn{questions.count}seed{questions.seed}"


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
        description="Prompt and answer tokens of a batch together. It bounds the memory of `transformers`; other "
        "backends ignore it.",
    )
    questions: Questions = Field(
        None,
        description="Test questions: the first so many, `{count: 16, seed: 42}` for so many drawn, or null for all.",
    )

    @property
    def modules(self) -> list[str]:
        """Package modules of the backends that may generate, as code digests name them."""
        return engine_modules(self.backend)
