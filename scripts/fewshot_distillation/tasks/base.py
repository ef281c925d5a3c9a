"""What a task consists of, and what all tasks have in common."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Row = dict[str, str]


@dataclass(frozen=True)
class Rule:
    """Reads an answer from a model's text and compares it with a row.

    Args:
        read: returns the answer that a text gives, or None if it gives none.
        equal: returns whether an answer that was read is the row's; without it, the task's own comparison.
    """

    read: Callable[[str], str | None]
    equal: Callable[[str, Row], bool] | None = None


@dataclass(frozen=True)
class Scorer:
    """A named way to score answers.

    The rule is in a module of its own below `tasks.rules`, which is imported only to score: fetching a dataset does not
    depend on how answers are read, so a better reader makes no dataset stale.

    Args:
        right: when an answer counts as right, as the end of a sentence that starts with "An answer counts as right if".
        module: module below `tasks.rules`.
        name: name of the `Rule` there.
    """

    right: str
    module: str
    name: str

    def rule(self) -> Rule:
        """Import the rule."""
        return getattr(importlib.import_module(f".rules.{self.module}", __package__), self.name)


class Task(ABC):
    """How rows become questions, answers and references, and by which rules answers to them are scored."""

    # Columns that a row must have, and what else is allowed in their place of text; others are dropped.
    columns: ClassVar[tuple[str, ...]]
    scorers: ClassVar[dict[str, Scorer]]
    # Annotations within worked answers that `calculation_annotations: strip` takes out, as a regular expression.
    annotations: ClassVar[str | None] = None

    @abstractmethod
    def question(self, row: Mapping[str, Any]) -> str:
        """Write the question as the model reads it."""

    @abstractmethod
    def answer(self, row: Mapping[str, Any]) -> str:
        """Write the answer that the model should learn to write."""

    @abstractmethod
    def reference(self, row: Mapping[str, Any]) -> str:
        """Read the reference that answers are compared with, in its canonical form.

        Raises:
            ValueError: the row has none, or one that can be read in two ways.
        """

    def equal(self, found: str, reference: str) -> bool:
        """Return whether an answer that was read is the reference; both are in canonical form."""
        return found == reference

    def example(self, row: Any) -> Row:
        """Turn a row of a source into question, answer and reference.

        Raises:
            ValueError: the row is wrong; the message is one sentence.
        """
        if not isinstance(row, Mapping):
            raise ValueError(f"a row must be an object with {self._wanted()}, not {_kind(row)}")
        for column in self.columns:
            if row.get(column) in (None, "", [], {}):
                raise ValueError(f"the row has no '{column}'; a row needs {self._wanted()}")
        reference = self.reference(row)
        return {"question": self.question(row), "answer": self.answer(row), "reference": reference}

    def _wanted(self) -> str:
        *first, last = (f"'{column}'" for column in self.columns)
        return f"{', '.join(first)} and {last}"


def text_of(row: Mapping[str, Any], column: str) -> str:
    """Return a column's text, tidied.

    Raises:
        ValueError: the column holds something else, or no text that can be used.
    """
    value = row[column]
    if not isinstance(value, str):
        raise ValueError(f"'{column}' is {_kind(value)} ({str(value)[:40]}), but must be text")
    return tidy(value, column)


def tidy(text: str, column: str) -> str:
    """Strip the ends of a text and write its line ends as newlines.

    Many chat templates strip their messages too; doing it once makes prompts and answers the same with all templates.

    Raises:
        ValueError: nothing is left, or the text can't be encoded.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise ValueError(f"the row has no '{column}', only spaces")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"'{column}' has half a surrogate pair ({ascii(text[error.start])}) at character {error.start + 1}, which "
            "no tokenizer reads; write the whole character or remove it"
        ) from None
    return text


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case None:
            return "null"
    return "an object"
