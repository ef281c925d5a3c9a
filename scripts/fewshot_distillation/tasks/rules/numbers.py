"""The number in what a model wrote, read strictly (after `####`) or flexibly."""

import re
from collections.abc import Callable, Iterator
from fractions import Fraction

from ..base import Rule
from ..references import canonical

_MINUS = "[-−–]"
_CURRENCY = "[$€£¥₹]"

# A number as people write it: a fraction, alone or after a whole number, or thousands separators and decimals.
_NUMBER = (
    r"(?:(?:(?P<whole>\d+)[ ])?(?P<top>\d+)/(?P<bottom>[1-9]\d*)"
    r"|(?P<digits>\d{1,3}(?:[ ]\d{3})+(?:\.\d+)?|\d{1,3}(?:,\d{2,3})*,\d{3}(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+))"
    # Part of something else: a longer number, a time, a range, a date, a power, a sum that is still to be done.
    r"(?![\d^]|[.,:/–-]\d|[^\S\n]*[-+*/×÷−][^\S\n]*\d)"
)
# What may stand between a mark and its number: an equation that the number ends, and what sets a number off from text.
# Possessive (`*+`), so that no text, however odd, takes long to read.
_EQUATION = r"(?:(?:[^\n=#A-Za-z]|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))*+=){0,6}"
_SETTING = rf"(?:[\s*_`\"'“”~≈=:+(\[{{<]|{_CURRENCY}|\\[(\[]|\\[a-z]++\{{)*+"
_GIVEN = rf"\s*+{_EQUATION}{_SETTING}(?P<sign>{_MINUS}?)(?:\s|{_CURRENCY})*+{_NUMBER}"

_MARKED = re.compile(rf"####{_GIVEN}(?P<heading>[.)][^\S\n]+\w)?")
_STATED = re.compile(rf"(?i:\banswer\b[\s*_]*(?:is\b|[:=])){_GIVEN}")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*+)\}")
# In running text a hyphen that follows a word, or stands apart from its number, is no minus: `Day-3`, `- 18`, `7 - 3`.
_IN_TEXT = re.compile(rf"(?:(?<![\w)])(?P<sign>{_MINUS}))?(?:{_CURRENCY}\s?(?P<inner>{_MINUS}?))?(?<![\d/^]){_NUMBER}")


def _plain(text: str) -> str:
    """The text without LaTeX's ways of writing numbers, and without the next question that a model may go on to."""
    text = re.split(r"\n\s*Question:", text, maxsplit=1)[0]
    text = re.sub(r"(?<=\d)(?:\{,\}|\\,|,\\!)(?=\d{3})", ",", text)
    text = re.sub(r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}", r" \1/\2", text)
    return re.sub(r"\\([$%])", r"\1", text)


# Digits of a number that somebody means; a model that repeats itself writes longer ones, which Python refuses to read.
_MOST_DIGITS = 1000


def _value(match: re.Match) -> Fraction | None:
    if len(match[0]) > _MOST_DIGITS:
        return None
    found = match.groupdict()
    if found["digits"]:
        number = Fraction(re.sub(r"[, ]", "", found["digits"]))
    else:
        number = Fraction(found["whole"] or 0) + Fraction(int(found["top"]), int(found["bottom"]))
    return -number if found["sign"] or found.get("inner") else number


def _last(matches: Iterator[re.Match]) -> Fraction | None:
    last = None
    for match in matches:
        last = match
    return _value(last) if last else None


def strict(text: str) -> Fraction | None:
    """The number after the first `####` that has one: what comes after the answer was given doesn't count.

    A numbered heading, `#### 1. Count the eggs`, is passed over where another mark follows.
    """
    matches = list(_MARKED.finditer(_plain(text)))
    if not matches:
        return None
    return _value(next((match for match in matches if not match["heading"]), matches[0]))


def flexible(text: str) -> Fraction | None:
    r"""The marked number if there is one, or else the last one in a \boxed{}, after "answer is", or in the text."""
    marked = strict(text)
    if marked is not None:
        return marked
    text = _plain(text)
    boxed = [value for box in _BOXED.findall(text) if (value := _last(_IN_TEXT.finditer(box))) is not None]
    if boxed:
        return boxed[-1]
    stated = _last(_STATED.finditer(text))
    return _last(_IN_TEXT.finditer(text)) if stated is None else stated


def _written(read: Callable[[str], Fraction | None]) -> Callable[[str], str | None]:
    """The same reader, with its number in canonical form."""

    def reader(text: str) -> str | None:
        number = read(text)
        return None if number is None else canonical(number)

    return reader


STRICT, FLEXIBLE = Rule(_written(strict)), Rule(_written(flexible))
