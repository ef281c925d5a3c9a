"""What a student learns from: teachers, and the conditions that weigh their targets."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from .base import Name, Strict, neutral
from .targets import HiddenStatesFields, HiddenStatesTarget, LogitsFields, LogitsTarget, Target

# Who wrote the answers of the dataset; other answers have the name of the teacher that wrote them.
REFERENCE = "reference"
# The text that a teacher reads where only its prompt matters.
QUESTION = "question"


class Sampling(Strict):
    """How a teacher's answers are drawn; every answer's draw depends on the seed and on its prompt alone."""

    temperature: float = Field(1.0, gt=0, le=5, description="Temperature of the model's distribution.")
    seed: int = Field(42, ge=0, lt=2**31, description="Seed of the draws.")


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
        "demonstration by random words, one for each of its words, digits and signs, which makes about as many tokens: "
        "controls for what demonstrations teach.",
    )

    sampling: Sampling | None = Field(
        None,
        exclude_if=neutral(None),
        description="How the answers are drawn that a condition learns from (`answers: <teacher>`); null for the "
        "likeliest tokens. Test questions are answered by those in any case.",
    )

    @model_validator(mode="after")
    def _shuffles(self) -> "Teacher":
        if self.content == "shuffled_answers" and self.shots < 2:
            raise ValueError(
                f"content: shuffled_answers needs two demonstrations at least, and with shots: {self.shots} the prompt "
                "is that of `content: correct`; raise shots, or leave out content"
            )
        return self

    @property
    def greedy(self) -> "Teacher":
        """The same prompt, answered by the likeliest tokens."""
        return self.model_copy(update={"sampling": None})

    @property
    def shown_as(self) -> str:
        """The label, or one made of the shots and the content."""
        if self.label:
            return self.label
        if self.shots == 0:
            return "Base · 0-shot"
        other = "" if self.content == "correct" else f", {self.content.replace('_', ' ')}"
        return f"A · {self.shots}-shot{other}"


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


class HiddenStates(_Condition, HiddenStatesFields):
    """Layer-wise distillation: L = L_CE + λ Σ_l ‖ĥ_l(student) − ĥ_l(teacher)‖²."""

    lam: float = Field(0.5, ge=0, alias="lambda", description="Weight λ of the distillation term.")

    @property
    def all_targets(self) -> list[HiddenStatesTarget | LogitsTarget]:
        return [HiddenStatesTarget(**{name: getattr(self, name) for name in HiddenStatesFields.model_fields})]


class Logits(_Condition, LogitsFields):
    """Logit distillation: L = L_CE + λ T² KL(teacher ‖ student), or another divergence."""

    lam: float = Field(0.5, ge=0, alias="lambda", description="Weight λ of the distillation term.")

    @property
    def all_targets(self) -> list[HiddenStatesTarget | LogitsTarget]:
        return [LogitsTarget(**{name: getattr(self, name) for name in LogitsFields.model_fields})]


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
