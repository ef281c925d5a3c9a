"""Targets: what a student matches of a teacher, at which span of tokens, and by which loss."""

import functools
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from .base import Strict, suggest
from .declared import constants

Span = Literal["question_end", "prompt_end", "answer", "answer_rest"]
# Spans of one token a prompt, which don't depend on the answer that follows it.
POSITIONS: tuple[Span, ...] = ("question_end", "prompt_end")


def cached_span(span: Span) -> Span:
    """Return the span whose values a teacher's cache has: every other one is a part of the answer, cached whole."""
    return span if span in POSITIONS else "answer"


LOSSES = Path(__file__).resolve().parents[1] / "student" / "losses"


@functools.cache
def losses(target: str) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Return the losses for a kind of target, by the names of their files, each with its parameters.

    A parameter has a default and two bounds; its value is between them.
    """
    files = sorted((LOSSES / target).glob("[a-z]*.py"))
    return {path.stem: constants(path).get("PARAMETERS", {}) for path in files}


@functools.cache
def refused(divergence: str) -> dict[str, str]:
    """Return values of `missing_probability` that a divergence of logits refuses, each with the reason."""
    return constants(LOSSES / "logits" / f"{divergence}.py").get("REFUSED", {})


def _loss_of(target: str) -> AfterValidator:
    def known(name: str) -> str:
        if name not in losses(target):
            raise ValueError(f"unknown loss '{name}'; {suggest(name, losses(target))}")
        return name

    return AfterValidator(known)


class HiddenStatesFields(Strict):
    """Fields of a target of hidden states: Σ_l ‖ĥ_l(student) − ĥ_l(teacher)‖² (or another loss of hidden states)."""

    renamed: ClassVar[dict[str, str]] = {"position": "span"}

    target: Literal["hidden_states"] = Field(description="Hidden states of the teacher.")
    teacher: str = Field(description="Name of the teacher whose targets are learned.")
    span: Span = Field(
        "question_end",
        description="`question_end`: last token before the generation prompt; `prompt_end`: last token of the prompt; "
        "`answer`: every token from which an answer token is predicted; `answer_rest`: the same without the prompt's "
        "last token, so that the first answer token is left out.",
    )
    loss: Annotated[str, _loss_of("hidden_states")] = Field(
        "layerwise", description="`layerwise`, or another file of `student/losses/hidden_states`."
    )
    layers: Literal["all"] | list[Annotated[int, Field(ge=0)]] = Field(
        "all", description="`all` (of a position), or layer numbers counted from 0."
    )
    normalize: bool = Field(True, description="Scale each hidden state to unit L2 norm first.")
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="`sum` over layers and features (the documented objective) or `mean`; tokens are averaged."
    )

    @model_validator(mode="after")
    def _sensible_layers(self) -> "HiddenStatesFields":
        if self.layers != "all" and (not self.layers or self.layers != sorted(set(self.layers))):
            raise ValueError(f"layers must be 'all' or ascending layer numbers without repetition, not {self.layers}")
        if self.layers == "all" and self.span not in POSITIONS:
            raise ValueError(
                "layers: all layers at every answer token would take 2 bytes times answer tokens, layers and hidden "
                "size (104 GB for Qwen3-1.7B on GSM8K); name a few layers"
            )
        return self


class LogitsFields(Strict):
    """Fields of a target of logits: a divergence of next-token distributions over the teacher's top-k tokens."""

    renamed: ClassVar[dict[str, str]] = {"position": "span", "tail": "missing_probability"}

    target: Literal["logits"] = Field(description="Next-token logits of the teacher.")
    teacher: str = Field(description="Name of the teacher whose targets are learned.")
    span: Span = Field("question_end", description="As for hidden states.")
    divergence: Annotated[str, _loss_of("logits")] = Field(
        "forward_kl",
        description="Divergence between the distributions, a file of `student/losses/logits`: `forward_kl`, "
        "`reverse_kl`, `jensen_shannon` (parameter `beta`) or `squared_error` (of raw logits, "
        "at no temperature), and your own.",
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
    def _known_parameters(self) -> "LogitsFields":
        known = losses("logits")[self.divergence]
        for name, value in self.parameters.items():
            if name not in known:
                raise ValueError(f"parameters: {self.divergence} has no parameter '{name}'; {suggest(name, known)}")
            _, low, high = known[name]
            if not low < value < high:
                raise ValueError(f"parameters: {name} must be between {low} and {high}, not {value}")
        return self

    @model_validator(mode="after")
    def _a_divergence(self) -> "LogitsFields":
        if reason := refused(self.divergence).get(self.missing_probability):
            raise ValueError(
                f"missing_probability: {self.missing_probability} can't go with {self.divergence}: {reason}; set "
                "renormalise or bucket"
            )
        return self

    @property
    def loss(self) -> str:
        return self.divergence

    @property
    def settings(self) -> dict[str, float]:
        """Every parameter of the divergence with its value."""
        return {name: self.parameters.get(name, known[0]) for name, known in losses("logits")[self.divergence].items()}


class HiddenStatesTarget(HiddenStatesFields):
    """One of several targets of a condition."""

    lam: float = Field(1.0, ge=0, alias="lambda", description="Weight of this target.")


class LogitsTarget(LogitsFields):
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
