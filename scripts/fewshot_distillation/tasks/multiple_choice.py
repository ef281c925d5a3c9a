"""Questions with lettered choices. The answer is a letter, after an explanation where a row has one."""

import string
from collections.abc import Mapping
from typing import Any

from .base import Scorer, Task, text_of, tidy

LETTERS = string.ascii_uppercase


class MultipleChoice(Task):
    """Rows with `question`, `choices` and `answer`, and if they like an `explanation`.

    `choices` is a list of texts, or an object with lists `text` and `label`, as in ARC. `answer` is a letter, the label
    of a choice, the text of a choice, or a whole number that counts the choices from 0, as in MMLU.
    """

    columns = ("question", "choices", "answer")
    scorers = {
        "strict": Scorer("the letter after `Answer:` is that of the right choice", "letters", "STRICT"),
        "flexible": Scorer(
            "the letter after `Answer:`, or else the one that the text gives as its answer, or else its last letter in "
            "parentheses, is that of the right choice",
            "letters",
            "FLEXIBLE",
        ),
    }

    def question(self, row: Mapping[str, Any]) -> str:
        choices, _ = _choices(row)
        listed = (f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
        return "\n".join([text_of(row, "question"), *listed])

    def answer(self, row: Mapping[str, Any]) -> str:
        explanation = [text_of(row, "explanation")] if row.get("explanation") else []
        return "\n".join([*explanation, f"Answer: {self.reference(row)}"])

    def reference(self, row: Mapping[str, Any]) -> str:
        choices, labels = _choices(row)
        answer = row["answer"]
        if isinstance(answer, int) and not isinstance(answer, bool):
            if 0 <= answer < len(choices):
                return LETTERS[answer]
        elif isinstance(answer, str):
            answer = answer.strip()
            for names in (labels, [label.lower() for label in labels], choices):
                if names.count(answer) == 1:
                    return LETTERS[names.index(answer)]
        raise ValueError(
            f"'answer' is {row['answer']!r:.60}, but must be the label of one of the {len(choices)} choices "
            f"({', '.join(labels)}), its text, or a number from 0 to {len(choices) - 1}"
        )


def _choices(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Texts and labels of a row's choices."""
    choices = row["choices"]
    labels = None
    if isinstance(choices, Mapping):
        choices, labels = choices.get("text"), choices.get("label")
    if not isinstance(choices, list) or not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError("'choices' must be a list of texts, or an object with lists 'text' and 'label'")
    if not 2 <= len(choices) <= len(LETTERS):
        raise ValueError(f"'choices' has {len(choices)} entries, but must have 2 to {len(LETTERS)}")
    labels = list(LETTERS[: len(choices)]) if labels is None else labels
    if not isinstance(labels, list) or len(labels) != len(choices) or not all(isinstance(one, str) for one in labels):
        raise ValueError(f"'choices' has {len(choices)} texts, so its 'label' must be a list of as many texts")
    return [tidy(choice, "choices") for choice in choices], labels


TASK = MultipleChoice()
