"""Demonstrations for a question: drawn from the training rows, as they are or changed for a control."""

import logging
import random
import re
from collections import Counter

from ..config.conditions import Teacher
from ..errors import JobError
from .rows import Row, same_question
from .selection import labelled_rows

log = logging.getLogger("fewshot_distillation")

# What an unrelated text is made of: common words that have nothing to do with numbers or sums.
WORDS = """
    harbour window garden letter river morning silver paper winter music mountain table village corner evening forest
    mirror bridge candle summer engine kitchen shadow market island colour number station meadow pocket thunder basket
    quiet early under over behind between slowly often rarely near far blue green old new warm cold soft bright narrow
""".split()  # noqa: SIM905

# What a tokenizer makes about one token of, as one of those words is: a run of letters, a digit, a sign.
PIECE = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")


class Demonstrations:
    """Draws a teacher's demonstrations, never one that asks the question itself.

    Args:
        train: the training rows.
        teacher: how many, how they are drawn and what they show.
        labelled: how many training rows count as labelled, for a teacher that draws from those alone.

    Raises:
        JobError: there are too few rows to draw from.
    """

    def __init__(self, train: list[Row], teacher: Teacher, labelled: int | None = None) -> None:
        self.teacher = teacher
        chosen = range(len(train)) if teacher.pool == "all" else labelled_rows(len(train), labelled)
        self.pool = [train[i] for i in chosen]
        asked = Counter(same_question(row["question"]) for row in self.pool)
        # Spares replace the question itself where it is drawn. Among a handful of labelled rows there may be none: then
        # a labelled question is shown the others, and any other question all of them.
        self.spares = max(asked.values(), default=0)
        if teacher.pool == "labelled":
            self.spares = min(self.spares, len(self.pool) - teacher.shots)
        if teacher.shots + self.spares > len(self.pool) or self.spares < 0:
            raise JobError(f"{teacher.shots} demonstrations can't be drawn from {len(self.pool)} training examples")

    def draw(self, split: str, index: int, question: str) -> list[Row]:
        """Draw the demonstrations for one question of a split."""
        seed = self.teacher.seed
        key = f"{seed} fixed" if self.teacher.demonstrations == "fixed" else f"{seed} {split} {index}"
        asked = same_question(question)
        # The same number of spares for all, so that fixed demonstrations don't depend on the question.
        drawn = random.Random(key).sample(range(len(self.pool)), self.teacher.shots + self.spares)
        rows = [row for row in (self.pool[i] for i in drawn) if same_question(row["question"]) != asked]
        return self._changed(rows[: self.teacher.shots], key)

    def _changed(self, rows: list[Row], key: str) -> list[Row]:
        """Return the rows in the form that the teacher's `content` names."""
        r = random.Random(f"{key} {self.teacher.content}")
        if self.teacher.content == "shuffled_answers":
            answers = _deranged([row["answer"] for row in rows], r)
            return [row | {"answer": answer} for row, answer in zip(rows, answers, strict=True)]
        if self.teacher.content == "unrelated_text":
            return [row | {name: _unrelated(row[name], r) for name in ("question", "answer")} for row in rows]
        return rows


def _deranged(values: list[str], r: random.Random) -> list[str]:
    """The values in another order in which none keeps its place; a single one has no other place."""
    order = list(range(len(values)))
    r.shuffle(order)
    moved = dict(zip(order, order[1:] + order[:1], strict=True))
    return [values[moved[place]] for place in range(len(values))]


def _unrelated(text: str, r: random.Random) -> str:
    """Random words, one for each piece of the text, so that a model reads about as many tokens."""
    return " ".join(r.choice(WORDS) for _ in PIECE.findall(text))
