"""Sequences of tokens, a prompt and an answer whoever wrote it, and the spans of them that targets belong to."""

from dataclasses import dataclass
from pathlib import Path

from ..config.conditions import REFERENCE
from ..config.targets import Span
from ..errors import JobError, about
from ..runtime.progress import progress
from .prompts import Prompt, PromptBuilder
from .rows import Row


@dataclass(frozen=True)
class Sequence:
    """A prompt and the answer behind it as tokens; `cut` is true if the answer was too long."""

    prompt: Prompt
    answer: list[int]
    cut: bool = False

    @property
    def ids(self) -> list[int]:
        return self.prompt.ids + self.answer

    def span(self, name: Span) -> range:
        """Return the indices of a span's tokens; an answer token is predicted one index before its own."""
        if name in ("answer", "answer_rest"):
            first = self.prompt.prompt_end + (name == "answer_rest")
            return range(first, self.prompt.prompt_end + len(self.answer))
        place = {"question_end": self.prompt.question_end, "prompt_end": self.prompt.prompt_end}[name]
        return range(place, place + 1)


def check_rows(builder: PromptBuilder, train: list[Row], test: list[Row]) -> None:
    """Make the tokens of every row, so that one that a model can't read is found before the model reads the others.

    Raises:
        JobError: names the row.
    """
    rows = builder.ahead(progress(train, "checking training rows", unit="row"), _zero_shot, _answer)
    for index, row in enumerate(rows):
        with about(f"training example {index}"):
            builder.build(row["question"])
            builder.answer_ids(row["answer"])
    for index, row in enumerate(builder.ahead(progress(test, "checking test rows", unit="row"), _zero_shot)):
        with about(f"test example {index}"):
            builder.build(row["question"])


def _zero_shot(row: Row) -> list[tuple[str, list[Row]]]:
    return [(row["question"], [])]


def _answer(row: Row) -> list[str]:
    return [row["answer"]]


def zero_shot_prompts(builder: PromptBuilder, rows: dict[int, Row]) -> dict[int, Prompt]:
    """Build the student's prompt of each training row, by its index.

    Raises:
        JobError: names the row.
    """
    prompts = {}
    for index, row in builder.ahead(rows.items(), lambda item: _zero_shot(item[1])):
        with about(f"training example {index}"):
            prompts[index] = builder.build(row["question"])
    return prompts


def answer_tokens(text: str, rows: list[Row], builder: PromptBuilder, written: Path | None) -> list[list[int]]:
    """Return tokens of every training row's answer, its end of turn included.

    Args:
        text: `reference` for the dataset's own answers, or the teacher that wrote the `written` ones.
        written: the table of a teacher's answers, with the tokens that it wrote.

    Raises:
        JobError: the written answers belong to other questions.
    """
    if text == REFERENCE:
        answers = []
        for index, row in enumerate(builder.ahead(rows, lambda row: (), _answer)):
            with about(f"training example {index}"):
                answers.append(builder.answer_ids(row["answer"]))
        return answers
    import pandas as pd

    table = pd.read_parquet(written).sort_values("question_index")
    if list(table["question"]) != [row["question"] for row in rows]:
        raise JobError(f"{written} answers questions other than the training split's")
    end = [builder.end_of_turn]
    # An answer that ran into the length limit has no end to learn.
    return [
        [*map(int, ids), *(end if reason == "stop" else [])]
        for ids, reason in zip(table["token_ids"], table["finish_reason"], strict=True)
    ]
