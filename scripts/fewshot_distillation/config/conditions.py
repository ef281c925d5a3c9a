"""What a student learns from: teachers, spans of tokens, targets, and the conditions that weigh them."""

import ast
import functools
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from .base import Name, Strict, suggest

Span = Literal["question_end", "prompt_end", "answer"]
# Spans of one token a prompt, which don't depend on the answer that follows it.
POSITIONS: tuple[Span, ...] = ("question_end", "prompt_end")

# Who wrote the answers of the dataset; other answers bear the name of the teacher that wrote them.
REFERENCE = "reference"
# The text that a teacher reads where only its prompt matters.
QUESTION = "question"

LOSSES = Path(__file__).resolve().parents[1] / "student" / "losses"


@functools.cache
def losses(target: str) -> dict[str, dict[str, tuple[float, float, float]]]:
    """The losses for a kind of target, by the names of their files, each with its parameters.

    A parameter has a default and two bounds, between which its value must lie.

    A file is read and not imported, because whoever plans jobs does without PyTorch.
    """
    found = {}
    for path in sorted((LOSSES / target).glob("[a-z]*.py")):
        parameters: dict[str, tuple[float, float, float]] = {}
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Assign) and [getattr(t, "id", "") for t in node.targets] == ["PARAMETERS"]:
                parameters = ast.literal_eval(node.value)
        found[path.stem] = parameters
    return found


def _loss_of(target: str) -> AfterValidator:
    def known(name: str) -> str:
        if name not in losses(target):
            raise ValueError(f"unknown loss '{name}'; {suggest(name, losses(target))}")
        return name

    return AfterValidator(known)


class Teacher(Strict):
    """A prompt for the frozen model: the one that gives targets, and those that the base model is evaluated with."""

    label: str | None = Field(
        None, min_length=1, max_length=60, description="Name in tables and legends; null for one made of the shots."
    )
    shots: int = Field(8, ge=0, le=64, description="Demonstrations in the prompt; 0 is the zero-shot control.")
    demonstrations: Literal["per_example", "fixed"] = Field(
        "per_example", description="Drawn anew for every example, or one set for all; never the example itself."
    )
    seed: int = Field(42, ge=0, description="Seed of the draw.")
    pool: Literal["all", "labelled"] = Field(
        "all", description="Rows that demonstrations are drawn from: all training rows, or the `labelled` ones."
    )
    content: Literal["correct", "shuffled_answers", "unrelated_text"] = Field(
        "correct",
        description="`shuffled_answers` permutes the answers among the demonstrations, `unrelated_text` replaces every "
        "demonstration by random words of the same number: controls for what demonstrations teach.",
    )

    @property
    def shown_as(self) -> str:
        """The label, or one made of the shots and the content."""
        if self.label:
            return self.label
        if self.shots == 0:
            return "Base · 0-shot"
        other = "" if self.content == "correct" else f", {self.content.replace('_', ' ')}"
        return f"A · {self.shots}-shot{other}"


class _HiddenStates(Strict):
    """What layer-wise distillation has: Σ_l ‖ĥ_l(student) − ĥ_l(teacher)‖² (or another loss of hidden states)."""

    renamed: ClassVar[dict[str, str]] = {"position": "span"}

    target: Literal["hidden_states"] = Field(description="Hidden states of the teacher.")
    teacher: str = Field(description="Name of the teacher whose targets are learned.")
    span: Span = Field(
        "question_end",
        description="`question_end`: last token before the generation prompt; `prompt_end`: last token of the prompt; "
        "`answer`: every token from which an answer token is predicted.",
    )
    loss: Annotated[str, _loss_of("hidden_states")] = Field(
        "layerwise", description="File of `student/losses/hidden_states`."
    )
    layers: Literal["all"] | list[Annotated[int, Field(ge=0)]] = Field(
        "all", description="`all`, or layer numbers counted from 0."
    )
    normalize: bool = Field(True, description="Scale each hidden state to unit L2 norm first.")
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="`sum` over layers and features (the documented objective) or `mean`; tokens are averaged."
    )

    @model_validator(mode="after")
    def _sensible_layers(self) -> "_HiddenStates":
        if self.layers != "all" and (not self.layers or self.layers != sorted(set(self.layers))):
            raise ValueError(f"layers must be 'all' or ascending layer numbers without repetition, not {self.layers}")
        if self.layers == "all" and self.span == "answer":
            raise ValueError(
                "layers: all layers at every answer token would take 2 bytes times answer tokens, layers and hidden "
                "size (104 GB for Qwen3-1.7B on GSM8K); name a few layers"
            )
        return self


class _Logits(Strict):
    """What logit distillation has: a divergence of next-token distributions over the teacher's top-k tokens."""

    renamed: ClassVar[dict[str, str]] = {"position": "span", "tail": "missing_probability"}

    target: Literal["logits"] = Field(description="Next-token logits of the teacher.")
    teacher: str = Field(description="Name of the teacher whose targets are learned.")
    span: Span = Field("question_end", description="As for hidden states.")
    divergence: Annotated[str, _loss_of("logits")] = Field(
        "forward_kl", description="Divergence between the distributions: a file of `student/losses/logits`."
    )
    parameters: dict[str, float] = Field({}, description="Parameters of the divergence, such as `beta`.")
    temperature: float = Field(2.0, gt=0, le=100, description="Temperature T of both distributions.")
    top_k: int = Field(1024, ge=1, description="Teacher tokens kept.")
    missing_probability: Literal["renormalise", "bucket", "teacher_only"] = Field(
        "renormalise",
        description="Probability outside the top k: `renormalise` both over the top k, one `bucket` token for the "
        "rest, or `teacher_only` (only the teacher renormalised, as published).",
    )

    @model_validator(mode="after")
    def _known_parameters(self) -> "_Logits":
        known = losses("logits")[self.divergence]
        for name, value in self.parameters.items():
            if name not in known:
                raise ValueError(f"parameters: {self.divergence} has no parameter '{name}'; {suggest(name, known)}")
            _, low, high = known[name]
            if not low < value < high:
                raise ValueError(f"parameters: {name} must lie between {low} and {high}, not at {value}")
        return self

    @property
    def loss(self) -> str:
        return self.divergence

    @property
    def settings(self) -> dict[str, float]:
        """Every parameter of the divergence with its value."""
        return {name: self.parameters.get(name, known[0]) for name, known in losses("logits")[self.divergence].items()}


class HiddenStatesTarget(_HiddenStates):
    """One of several targets of a condition."""

    lam: float = Field(1.0, ge=0, alias="lambda", description="Weight of this target.")


class LogitsTarget(_Logits):
    """One of several targets of a condition."""

    lam: float = Field(1.0, ge=0, alias="lambda", description="Weight of this target.")


Target = Annotated[
    Annotated[HiddenStatesTarget, Tag("hidden_states")] | Annotated[LogitsTarget, Tag("logits")],
    Discriminator(
        lambda value: value.get("target") if isinstance(value, dict) else value.target,
        custom_error_type="target",
        custom_error_message="target must be hidden_states or logits",
    ),
]


class _Objective(Strict):
    """What every condition has: which sequences the student reads, and what counts in their loss.

    A sequence is a zero-shot prompt and an answer, whoever wrote it.
    """

    examples: Literal["all", "labelled", "unlabelled"] = Field(
        "all", description="Training questions: all, the `labelled` ones, or all but those."
    )
    answers: Name = Field(
        REFERENCE, description="Who wrote the answers: `reference` for the dataset's, or the name of a teacher."
    )
    keep: Literal["all", "correct"] = Field(
        "all", description="Of a teacher's answers: all, or only those that are right by the study's metric."
    )
    cross_entropy: float = Field(
        1.0, ge=0, description="Weight of the cross-entropy on answer tokens; 0 leaves it out."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Label smoothing of the cross-entropy.")
    sft_examples: Literal["labelled"] | None = Field(
        None,
        description="Examples with reference answers for the cross-entropy, in place of those that targets are matched "
        "on; each fills an effective batch of its own.",
    )
    lambda_steps: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = Field(
        None, description="First and last optimizer step with distillation; null for all."
    )

    @model_validator(mode="after")
    def _whole(self) -> "_Objective":
        if self.lambda_steps and self.lambda_steps[0] > self.lambda_steps[1]:
            raise ValueError(f"lambda_steps must be the first and the last step, not {list(self.lambda_steps)}")
        if self.keep == "correct" and self.answers == REFERENCE:
            raise ValueError("keep: reference answers are correct; name the teacher that wrote the answers")
        return self


class Learning(_Objective):
    """The objective of a training run: L = w L_CE + λ Σ_t λ_t L_t over the targets t."""

    targets: list[Target] = Field([], description="Targets, each with its weight.")


class _Condition(_Objective):
    """What every condition has for its readers."""

    label: str = Field(min_length=1, max_length=60, description="Name in tables and legends.")

    @property
    def learning(self) -> Learning:
        """The objective, written in one way however the configuration writes it."""
        own = {name: getattr(self, name) for name in _Objective.model_fields}
        return Learning(**own, targets=self.all_targets)

    @property
    def all_targets(self) -> list[HiddenStatesTarget | LogitsTarget]:
        """Every target, also of a condition that has a single one."""
        return []

    @property
    def several(self) -> bool:
        """Whether the configuration lists targets one by one."""
        return False


class Sft(_Condition):
    """Answers only: the cross-entropy of ordinary supervised fine-tuning."""

    target: Literal["none"] = Field("none", description="No teacher.")
    lam: float = Field(0.0, ge=0, le=0, alias="lambda", description="There is no distillation term to weigh.")

    @model_validator(mode="after")
    def _learns(self) -> "Sft":
        if self.cross_entropy == 0:
            raise ValueError("cross_entropy: 0 leaves nothing to learn without a target")
        if self.sft_examples or self.lambda_steps:
            raise ValueError("sft_examples and lambda_steps belong to conditions with a target")
        return self


class HiddenStates(_Condition, _HiddenStates):
    """Layer-wise distillation: L = L_CE + λ Σ_l ‖ĥ_l(student) − ĥ_l(teacher)‖²."""

    lam: float = Field(0.5, ge=0, alias="lambda", description="Weight λ of the distillation term.")

    @property
    def all_targets(self) -> list[HiddenStatesTarget | LogitsTarget]:
        return [HiddenStatesTarget(**{name: getattr(self, name) for name in _HiddenStates.model_fields})]


class Logits(_Condition, _Logits):
    """Logit distillation: L = L_CE + λ T² KL(teacher ‖ student), or another divergence."""

    lam: float = Field(0.5, ge=0, alias="lambda", description="Weight λ of the distillation term.")

    @property
    def all_targets(self) -> list[HiddenStatesTarget | LogitsTarget]:
        return [LogitsTarget(**{name: getattr(self, name) for name in _Logits.model_fields})]


class Several(_Condition):
    """Several targets at once, each with a weight of its own: L = L_CE + λ Σ_t λ_t L_t."""

    targets: list[Target] = Field(min_length=1, description="Targets, each with its `lambda`.")
    lam: float = Field(1.0, ge=0, alias="lambda", description="Weight λ of all targets together.")

    @property
    def all_targets(self) -> list[HiddenStatesTarget | LogitsTarget]:
        return self.targets

    @property
    def several(self) -> bool:
        return True


def _kind(value: Any) -> str:
    given = value if isinstance(value, dict) else {key: getattr(value, key, None) for key in ("target", "targets")}
    return "targets" if given.get("targets") else given.get("target") or "none"


Condition = Annotated[
    Annotated[Sft, Tag("none")]
    | Annotated[HiddenStates, Tag("hidden_states")]
    | Annotated[Logits, Tag("logits")]
    | Annotated[Several, Tag("targets")],
    Discriminator(
        _kind,
        custom_error_type="target",
        custom_error_message="target must be hidden_states or logits, or be left out for plain fine-tuning, or there "
        "must be a list of `targets`",
    ),
]
