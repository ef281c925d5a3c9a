"""The two rules of lm-evaluation-harness's task gsm8k, version 3.0 (lm_eval/tasks/gsm8k/gsm8k.yaml).

The answer is found with a regular expression, and then it and the whole reference solution are cut down in the same way
and compared as text: `18.0` is not `18` there. The harness also stops generation at `Question:`, which the length and
content of an answer may depend on, and no rule can undo.
"""

import re

from ..base import Row, Rule

_STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_FINAL_POINT = re.compile(r"\.$")


def _cut_down(text: str) -> str:
    """Leave out what `regexes_to_ignore` names, in its order, and the difference of capitals."""
    # The third expression, `(?s).*#### `, deletes all up to the last mark.
    text = text.replace(",", "").replace("$", "").rpartition("#### ")[2]
    return _FINAL_POINT.sub("", text).lower()


def strict_match(text: str) -> str | None:
    """Read the first number after `#### `, with exactly one space between."""
    found = _STRICT.search(text)
    return found[1] if found else None


def flexible_extract(text: str) -> str | None:
    """Read the last run of digits, dollars, points and commas."""
    last = None
    for match in _FLEXIBLE.finditer(text):
        last = match[0]
    return last


def equal(found: str, row: Row) -> bool:
    """Compare as text, after both were cut down."""
    return _cut_down(found) == _cut_down(row["answer"])


STRICT_MATCH, FLEXIBLE_EXTRACT = Rule(strict_match, equal), Rule(flexible_extract, equal)
