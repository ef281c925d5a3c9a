r"""The number that a model's text gives as its answer, read strictly (after `####`) or flexibly.

Written by hand for whole texts of models, after trying math-verify 0.9.0: that reads LaTeX expressions better than
anything here, but answers to these questions are numbers, of which it misreads most kinds below (`3 1/2` as 1, `1.5e6`
as 1.5, `70 000` with a thin space as 0, `#### \frac34` as nothing), and its time isn't bounded by a text's length.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..base import Rule
from ..references import canonical
from .number_grammar import CURRENCY, MINUS, Number, number_at, numbers
from .plain_text import own_answer, plain

# How far behind a mark its number may end, and how many boxes or statements from the end may hold it.
_REACH = 300
_LAST = 50

_MARK = re.compile(r"####+")
_STATED = re.compile(
    r"\banswer\b[\s*_]{0,4}(?:is\b|would be\b|will be\b|should be\b|comes to\b|[:=])|^[ ]{0,3}A:",
    re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(r"\\f?boxe?d?[ ]?(?:\{|(?=[0-9]))")
# What sets a number off from the text before it.
_SETTING = re.compile(
    rf"(?:[\s*_`\"'“”~≈=:+(\[{{<]|{CURRENCY}|\\[a-z]++\{{|(?i:about|approximately|around|roughly)[ ])*+"
)
_SIGN = re.compile(rf"({MINUS}?)(?:\s|{CURRENCY}|\()*+")
_SENTENCE = re.compile(r"(?<=[\w)%$])[.;!?](?=\s|$)")
_OPERATION = re.compile(
    r"[\w)%][^\S\n]{0,9}(?:[-+*/×÷−·x^]|\b(?:of|plus|minus|times|divided by)\b)"
    rf"[^\S\n]{{0,9}}(?:{CURRENCY}|\()?[0-9.]"
)
_FRACTION_OF_A_UNIT = re.compile(r"(?<![0-9./])[0-9]{1,9}/[0-9]{1,9}(?=[ ]?[A-Za-z])")
_EXPLAINS = re.compile(r",\s|\b(?:because|since|as|so|if|when|where|that|which|and|for)\b", re.IGNORECASE)
_ALGEBRA = re.compile(
    r"(?=[^\n]*(?<![A-Za-z])[b-hj-zB-HJ-Z](?![A-Za-z]))(?:[-+−*/×÷^()\[\]=\s\d.$]|(?<![A-Za-z])[A-Za-z](?![A-Za-z]))++"
)


_TIMES = re.compile(r"(?<=\d)[^\S\n]{0,9}x[^\S\n]{0,9}(?=\d)")
# `…, so x` before an equals sign.
_SOLVED = re.compile(r"(?:^|[,;:]|\b[A-Za-z]{2,20})[ ]{0,4}(?<![A-Za-z])[A-Za-z][ ]{0,4}\Z")
# Roots, and fractions of more than digits.
_NO_NUMBER = re.compile(r"\\(?:sqrt|pi|overline|[dtc]?frac)(?![A-Za-z])|[√π]")


@dataclass(frozen=True)
class Given:
    """What is behind a mark: a number or None, and whether it is algebra, which has none."""

    value: Fraction | None
    start: int
    end: int
    algebra: bool = False
    ordinal: int | None = None  # of `1. Count the eggs`


def strict(text: str) -> Fraction | None:
    """Read the number after the mark `####` that gives the final answer.

    A later mark takes the place of an earlier one if there is work between them, as in `5*7 = #### 35` and then
    `35*2 = #### 70`; what comes after the answer was given doesn't count. Numbered headings, `#### 1. Count the eggs`,
    are passed over.
    """
    found = _marked(plain(own_answer(text)))
    return found.value if found else None


def flexible(text: str) -> Fraction | None:
    r"""Read the marked number if there is one, or else the last one in a \boxed{}, after "answer is", or in the text.

    Algebra in one of these places is an answer that is no number.
    """
    own = plain(own_answer(text))
    for found in (_marked(own), _boxed(own), _stated(own)):
        if found and (found.value is not None or found.algebra):
            return found.value
    last = None
    for number in numbers(own):
        last = number.value
    return last


def _marked(text: str) -> Given | None:
    """What the last mark gives that still belongs to the work, or None if no mark gives anything."""
    marks = list(_MARK.finditer(text))
    ends = [*(mark.start() for mark in marks), len(text)][1:]
    read = [_given(text, mark.end(), min(end, mark.end() + _REACH)) for mark, end in zip(marks, ends, strict=False)]
    read = [one for one in read if one.value is not None or one.algebra]
    # Steps that are numbered from 1 and have another mark behind them are headings.
    headings = 0
    while headings < len(read) and read[headings].ordinal == headings + 1:
        headings += 1
    chosen = None
    for one in read if len(read) == 1 else read[headings:]:
        if chosen is not None and not re.search(r"\d", text[chosen.end : one.start]):
            break
        chosen = one
    return chosen


def _boxed(text: str) -> Given | None:
    for box in reversed(list(_BOXED.finditer(text))[-_LAST:]):
        content = _inside(text, box.end())
        if content is None:
            continue
        if _NO_NUMBER.search(content):
            return Given(None, box.start(), box.end(), algebra=True)
        last = None
        for number in numbers(content):
            last = number.value
        if last is not None or _ALGEBRA.fullmatch(content.strip()):
            return Given(last, box.start(), box.end(), algebra=last is None)
    return None


def _inside(text: str, start: int) -> str | None:
    """The content of braces that opened before a place, or the digits there; None if it is too long for a number."""
    if text[start - 1] != "{":
        return re.match(r"[0-9]{1,100}", text[start : start + 100])[0]
    depth = 1
    for place in range(start, min(len(text), start + _REACH)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place]
    return None


def _stated(text: str) -> Given | None:
    for statement in reversed(list(_STATED.finditer(text))[-_LAST:]):
        given = _given(text, statement.end(), statement.end() + _REACH)
        if given.value is not None or given.algebra:
            return given
    return None


def _given(text: str, start: int, end: int) -> Given:
    """What is given between two places: a number, alone or as the result of an equation, or algebra."""
    piece = text[start:end]
    begin = _SETTING.match(piece).end()
    line = piece[begin:].split("\n", 1)[0]
    sentence = _SENTENCE.split(line, 1)[0]
    *_, left = parts = sentence.split("=")[::-1]
    unsolved = bool(re.search(r"\d", left)) and bool(_ALGEBRA.fullmatch(_TIMES.sub("*", left).strip()))
    if len(parts) > 1 and unsolved:
        return _solution(piece, start, begin, sentence)
    if len(parts) > 1 and _is_calculation(left):
        place = begin + len(sentence) + 1
        for part in parts:
            place -= len(part) + 1
            number = _signed(piece, _SETTING.match(piece, place).end())
            if number and number.value is not None:
                return Given(number.value, start, start + number.end)
    number = _signed(piece, begin)
    if number and number.value is not None:
        heading = re.match(r"[.)][^\S\n]+\w", piece[number.end :])
        return Given(number.value, start, start + number.end, ordinal=int(number.value) if heading else None)
    expression = re.split(r"[,;]", sentence, maxsplit=1)[0].strip()
    return Given(
        None,
        start,
        start + begin + len(line),
        algebra=bool(_ALGEBRA.fullmatch(expression) or _NO_NUMBER.search(expression)),
    )


def _solution(piece: str, start: int, begin: int, sentence: str) -> Given:
    """What an equation with an unknown leads to, as in `2x = 10, so x = 5`; algebra if it isn't solved."""
    before, _, _ = sentence.rpartition("=")
    number = _signed(piece, _SETTING.match(piece, begin + len(before) + 1).end()) if _SOLVED.search(before) else None
    if number and number.value is not None:
        return Given(number.value, start, start + number.end)
    return Given(None, start, start + begin + len(sentence), algebra=True)


def _is_calculation(left: str) -> bool:
    """Whether what is before an equals sign leads to its result, or only names it: `5 + 13`, `2 eggs * $3`, `Total`."""
    if _EXPLAINS.search(left) or left.count("(") > left.count(")"):
        return False
    # Half an hour is no division.
    return (
        bool(_OPERATION.search(_FRACTION_OF_A_UNIT.sub("1", left)))
        or not re.search(r"\d", left)
        and len(left.split()) <= 4
    )


def _signed(text: str, start: int) -> Number | None:
    sign = _SIGN.match(text, start)
    number = number_at(text, sign.end())
    if number is None or number.value is None or not sign[1]:
        return number
    return Number(-number.value, number.start, number.end)


def _written(read: Callable[[str], Fraction | None]) -> Callable[[str], str | None]:
    """The same reader, with its number in canonical form."""

    def reader(text: str) -> str | None:
        number = read(text)
        return None if number is None else canonical(number)

    return reader


STRICT, FLEXIBLE = Rule(_written(strict)), Rule(_written(flexible))
