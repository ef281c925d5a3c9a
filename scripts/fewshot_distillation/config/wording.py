"""The text around a question in a prompt, as the configuration sets it."""

import datetime
from typing import Any

from pydantic import Field, field_validator

from .base import Strict

QUESTION = "{question}"


class Wording(Strict):
    """How a question is put to a model; the rest of a prompt is what the model's chat template writes around it."""

    question: str = Field(
        QUESTION,
        description="The user's message, with `{question}` for the question. A model without a chat template reads "
        "it before `Answer:`, by default as `Question: {question}`.",
    )
    system: str | None = Field(None, description="System message; null leaves it to the chat template.")
    template_date: datetime.date = Field(
        datetime.date(2024, 7, 26),
        description="Date that chat templates are given for today's, so that no prompt depends on the day of the run; "
        "the default is the one that Llama 3.1's template falls back on.",
    )

    @field_validator("question")
    @classmethod
    def _one_question(cls, question: str) -> str:
        if question.count(QUESTION) != 1:
            raise ValueError(f"the message must have {QUESTION} exactly once, where the question goes")
        return question.strip()

    @field_validator("system")
    @classmethod
    def _some_text(cls, system: str | None) -> str | None:
        if system is not None and not system.strip():
            raise ValueError("the system message is empty; write null for none")
        return None if system is None else system.strip()

    @field_validator("template_date", mode="before")
    @classmethod
    def _a_date(cls, value: Any) -> Any:
        if not isinstance(value, str | datetime.date) or isinstance(value, datetime.datetime):
            raise ValueError("expected a date such as 2024-07-26")
        return value


# The question alone.
AS_IT_IS = Wording()
