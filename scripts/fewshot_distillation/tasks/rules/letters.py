"""The letter of a choice in what a model wrote."""

import re

from ..base import Rule

# `A` and `I` are words too: before another word they are no choice, unless that word gives the reason.
_LETTER = r"[*_`\"'(\[{]*([A-Z])(?![A-Za-z0-9'’])(?![ ]+(?!because\b|since\b|as\b|is\b)[a-z])"
_NEXT_QUESTION = re.compile(r"\n\s*(?:Question|Q|Problem)\s*\d*\s*[:.]")

_MARKED = re.compile(rf"^[\s*_#>]*(?i:answer)[*_]*\s*:[\s*_]*{_LETTER}", re.MULTILINE)
_STATED = re.compile(rf"(?i:\banswer\b)[\s*_]*(?:is|:)[\s*_:]*(?:option |choice )?{_LETTER}")
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?\s*\(?([A-Z])\)?\s*\}")
_ALONE = re.compile(r"\(([A-Z])\)|^[\s*_]*([A-Z])(?:[.):]|\s*$)", re.MULTILINE)


def _own(text: str) -> str:
    """The text without the next question that a model may go on to."""
    return _NEXT_QUESTION.split(text, maxsplit=1)[0]


def _last(pattern: re.Pattern, text: str) -> str | None:
    found = [match.group(match.lastindex) for match in pattern.finditer(text)]
    return found[-1] if found else None


def strict(text: str) -> str | None:
    """Read the letter after the last `Answer:` that begins a line."""
    return _last(_MARKED, _own(text))


def flexible(text: str) -> str | None:
    r"""Read the marked letter, or else the last one after "answer is", in a \boxed{}, in parentheses or on its own."""
    own = _own(text)
    for pattern in (_MARKED, _STATED, _BOXED, _ALONE):
        if found := _last(pattern, own):
            return found
    return None


STRICT, FLEXIBLE = Rule(strict), Rule(flexible)
