r"""The number that a model's text gives as its answer, read strictly (after `####`) or flexibly.

Written by hand for whole texts of models. math-verify 0.9.0 (with latex2sympy2_extended 1.11.0), which knows more LaTeX
than is known here, doesn't take its place: of plain text it misreads most kinds below (`3 1/2` as 2, `1.5e6` as 1.5,
`70 000` with a thin space as 0), so all of this would stay; in a \boxed{} it reads `1\,234` as 235 and
`10\thinspace 000` as 0, refuses `18~\mathrm{km}` and `\frac{1,000}{3}`, and makes 25\% a quarter, where references
say 25; and reading 300 characters may take seconds.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..base import Rule
from ..references import canonical
from .algebra import FUNCTION, has_unknown
from .number_grammar import CURRENCY, MAGNITUDE, Number, number_at, numbers
from .own_answer import own_answer
from .plain_text import plain

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
    rf"(?:[\s*_`\"'~≈→=:+(\[{{<]|{CURRENCY}|(?!{FUNCTION})\\[a-z]++\{{|(?i:about|approximately|around|roughly)[ ])*+"
)
_SIGN = re.compile(rf"(-?)(?:\s|{CURRENCY}|\()*+")
_SENTENCE = re.compile(r"(?<=[\w)%$])[.;!?](?=\s|$)")
# What leads to a result. Words do so behind a calculation alone, signs also behind a name, as in `Total = 18`.
_RELATION = re.compile(r"[=≈→][=≈→\s]*+|\b(?:is(?:[ ]equal[ ]to)?|equals|makes|gives)\b")
_OPERATION = re.compile(
    r"[\w)%][^\S\n]{0,9}(?:[-+*/×÷·x^]|\b(?:of|plus|minus|times|(?:divided|multiplied) by)\b)"
    rf"[^\S\n]{{0,9}}(?:{CURRENCY}|\()?[0-9.]|[\d)]\([0-9.]|{FUNCTION}"
)
_SUM = re.compile(rf"(?:{CURRENCY})?\d[\d.,]*+(?:[ ](?!and\b)[A-Za-z]++){{0,2}}+[ ]and[ ](?:{CURRENCY})?\d[^\d,;]*+")
_FRACTION_OF_A_UNIT = re.compile(r"(?<![0-9./])[0-9]{1,9}/[0-9]{1,9}(?=[ ]?[A-Za-z])")
_EXPLAINS = re.compile(r",\s|\b(?:because|since|as|so|if|when|where|that|which|and|for)\b", re.IGNORECASE)
# `…, so x` before an equals sign.
_SOLVED = re.compile(r"(?:^|[,;:→]|\b[A-Za-z]{2,20})[ ]{0,4}(?<![A-Za-z])[A-Za-z][ ]{0,4}\Z")
_FUNCTION = re.compile(FUNCTION)


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

    A later mark takes the place of an earlier one if there is work between the two numbers, as in `5*7 = #### 35` and
    then `35*2 = #### 70` or `#### 35*2 = 70`; what comes after the answer was given doesn't count. Numbered headings,
    `#### 1. Count the eggs`, are passed over.
    """
    found = _marked(own_answer(plain(text)))
    return found.value if found else None


def flexible(text: str) -> Fraction | None:
    r"""Read the marked number if there is one, or else the last one in a \boxed{}, after "answer is", or in the text.

    Algebra in one of these places is an answer that is no number.
    """
    own = own_answer(plain(text))
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
        given = _given(content, 0, len(content))
        if given.value is not None or given.algebra:
            return given
        last = None
        for number in numbers(content):
            last = number.value
        if last is not None:
            return Given(last, box.start(), box.end())
    return None


def _inside(text: str, start: int) -> str | None:
    """The content of braces that opened before a place, or the digits there; None if it is too long for a number."""
    if text[start - 1] != "{":
        return re.match(r"[0-9]{1,100}", text[start : start + 100])[0]
    depth = 1
    for place in range(start, min(len(text), start + _REACH)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            behind = MAGNITUDE.match(text, place + 1)
            return text[start:place] + (behind[0] if behind else "")
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
    stop = begin + len(_SENTENCE.split(line, 1)[0])
    algebra = Given(None, start, start + begin + len(line), algebra=True)
    relations = list(_RELATION.finditer(piece, begin, stop))
    left = piece[begin : relations[0].start() if relations else stop]
    if relations and left.count("(") > left.count(")"):  # `18 (9 + 9 = 18)`
        relations, left = [], left.rpartition("(")[0]
    if relations and re.search(r"\d", left) and has_unknown(_first_part(left)):
        # `2x = 10, so x = 5`
        solved = _SOLVED.search(piece[begin : relations[-1].start()])
        number = _signed(piece, relations[-1].end()) if solved else None
        return Given(number.value, start + number.start, start + number.end) if number else algebra
    if relations and _is_calculation(left, relations[0][0]):
        ends = [*(one.start() for one in relations[1:]), stop]
        for relation, part_end in zip(reversed(relations), reversed(ends), strict=True):
            if has_unknown(_first_part(piece[relation.end() : part_end])):
                return algebra
            if number := _signed(piece, relation.end()):
                return Given(number.value, start + number.start, start + number.end)
    expression = _first_part(left)
    if has_unknown(expression):
        return algebra
    if number := _signed(piece, begin):
        heading = re.match(r"[.)][^\S\n]+\w", piece[number.end :])
        ordinal = int(number.value) if heading else None
        return Given(number.value, start + number.start, start + number.end, ordinal=ordinal)
    return algebra if _FUNCTION.search(piece[begin:stop]) else Given(None, start, algebra.end)


def _first_part(expression: str) -> str:
    return re.split(r"[,;](?!\d)", expression, maxsplit=1)[0]


def _is_calculation(left: str, relation: str) -> bool:
    """Whether what is before an equals sign leads to its result, or only names it: `5 + 13`, `2 eggs * $3`, `Total`."""
    if _SUM.fullmatch(left.strip()):  # `5 apples and 6 pears`
        return True
    if _EXPLAINS.search(left):
        return False
    if not re.search(r"\d", left):
        return len(left.split()) <= 4 if relation[0] in "=≈→" else len(left.strip()) == 1
    # Half an hour is no division.
    return bool(_OPERATION.search(_FRACTION_OF_A_UNIT.sub("1", left)))


def _signed(text: str, start: int) -> Number | None:
    """The number at a place, behind what may set it off and its sign; None if there is none with a value."""
    sign = _SIGN.match(text, _SETTING.match(text, start).end())
    number = number_at(text, sign.end())
    if number is None or number.value is None:
        return None
    return Number(-number.value if sign[1] else number.value, number.start, number.end)


def _written(read: Callable[[str], Fraction | None]) -> Callable[[str], str | None]:
    """The same reader, with its number in canonical form."""

    def reader(text: str) -> str | None:
        number = read(text)
        return None if number is None else canonical(number)

    return reader


STRICT, FLEXIBLE = Rule(_written(strict)), Rule(_written(flexible))
