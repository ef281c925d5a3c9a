"""The rule by which the published study's code counted right answers (amaljoe/few-shot-distillation, eval_checkpoints).

Only digits and commas right after the first `####` count, so a sign, a currency or decimals end the number or send the
reader to the last whole number of the text, where `70,000` reads as `000`. Both sides are compared as text, and a
negative reference is never right.
"""

import re

from ..base import Row, Rule

_MARKED = re.compile(r"####\s*([\d,]+)")
_WHOLE = re.compile(r"\b\d+\b")


def _marked(text: str) -> str | None:
    found = _MARKED.search(text)
    return found[1].replace(",", "") if found else None


def read(text: str) -> str | None:
    """Read the digits after the first mark that has some, or else the last whole number."""
    found = _marked(text)
    if found is None:
        for match in _WHOLE.finditer(text):
            found = match[0]
    return found


def equal(found: str, row: Row) -> bool:
    """Compare with what the same expression finds in the reference solution."""
    return found == (_marked(row["answer"]) or "")


STUDY_CODE = Rule(read, equal)
