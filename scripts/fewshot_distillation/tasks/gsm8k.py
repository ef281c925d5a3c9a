"""Worked answers that end in `#### <number>`, as in GSM8K (Cobbe et al. 2021, arXiv:2110.14168)."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from .base import Scorer, Task, text_of
from .references import canonical, number_after_mark


class Gsm8k(Task):
    """A question and a worked answer, both as they are in the row."""

    columns = ("question", "answer")
    annotations = r"<<[^<>]*>>"  # `48/2 = <<48/2=24>>24`
    scorers = {
        "strict": Scorer("the number after `####` equals the reference", "numbers", "STRICT"),
        "flexible": Scorer(
            "the number after `####`, or else the one that the text gives as its answer, or else its last number, "
            "equals the reference",
            "numbers",
            "FLEXIBLE",
        ),
        "study_code": Scorer(
            "the digits right after `####`, or else the last whole number of the text, are those of the reference "
            "(the rule of the published study's code)",
            "study_code",
            "STUDY_CODE",
        ),
        "lm_eval_strict": Scorer(
            "the text of the number after `####` is that of the reference (`strict-match` of lm-evaluation-harness)",
            "lm_eval",
            "STRICT_MATCH",
        ),
        "lm_eval_flexible": Scorer(
            "the text of its last number is that of the reference (`flexible-extract` of lm-evaluation-harness)",
            "lm_eval",
            "FLEXIBLE_EXTRACT",
        ),
    }

    def question(self, row: Mapping[str, Any]) -> str:
        return text_of(row, "question")

    def answer(self, row: Mapping[str, Any]) -> str:
        return text_of(row, "answer")

    def reference(self, row: Mapping[str, Any]) -> str:
        return canonical(number_after_mark(text_of(row, "answer")))

    def equal(self, found: str, reference: str) -> bool:
        return Fraction(found) == Fraction(reference)


TASK = Gsm8k()
