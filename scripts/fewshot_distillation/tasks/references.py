"""Reference numbers, and the canonical form of a number as text.

References are written by people for machines, so they are read narrowly, and what could be meant in two ways is
refused. What models write is read in `rules`, by other code: a reader that gets better makes no dataset stale.
"""

import re
import unicodedata
from fractions import Fraction

_LAST_MARK = re.compile(r"####\s*+([^\n#]*)\Z")
_SIGNED = re.compile(r"(?P<sign>[-+−–]?)\s*[$€£¥₹]?\s*(?P<inner>[-−–]?)\s*(?P<number>\S.*?)\s*[$€£¥₹]?\.?")
# Space, no-break space, thin space, narrow no-break space.
_SPACE = "[ \u00a0\u2009\u202f]"
_POINT = r"(?:\.\d+)?"
# What a number may look like, and what is left out so that Python reads it.
_SHAPES = (
    (re.compile(rf"\d+{_POINT}(?:[eE][-+]?\d\d?)?|\.\d+"), None),
    (re.compile(r"\d+ ?/ ?0*[1-9]\d*"), " "),
    (re.compile(rf"[1-9]\d{{0,2}}(?:,\d{{2,3}})*,\d{{3}}{_POINT}"), ","),
    (re.compile(rf"[1-9]\d{{0,2}}(?:{_SPACE}\d{{3}})+{_POINT}"), _SPACE),
    (re.compile(rf"[1-9]\d{{0,2}}(?:['’]\d{{3}})+{_POINT}"), "['’]"),
)
# Three digits on top would look like thousands: `3 789/799`.
_MIXED = re.compile(rf"(\d+){_SPACE}(\d{{1,2}}/0*[1-9]\d*)")
_VULGAR = re.compile(rf"(\d*){_SPACE}?([¼-¾⅐-⅞])")
_COMMA = re.compile(r"(\d*),(\d+)")
# Longer ones nobody means, and Python refuses to read them.
_MOST_CHARACTERS = 1000


def number_after_mark(answer: str) -> Fraction:
    """Read the number after `####` on the last line of a worked answer.

    Whole numbers, decimals (`2.5`, `.5`), fractions (`3/4`, `3 1/2`, `3½`) and powers of ten (`1.5e6`), with a sign, a
    currency, and commas, spaces or apostrophes between thousands.

    Raises:
        ValueError: there is none, or it can be read in two ways.
    """
    last = _LAST_MARK.search(answer.strip())
    given = last[1] if last else ""
    signed = _SIGNED.fullmatch(given) if len(given) <= _MOST_CHARACTERS else None
    number = _number(signed["number"]) if signed and not (signed["sign"] and signed["inner"]) else None
    if number is None:
        found = f"; after the mark is {given[:40]!r}" if given else ""
        raise ValueError(f"the answer doesn't end in '#### <number>'{found}")
    return -number if signed["sign"] not in ("", "+") or signed["inner"] else number


def _number(text: str) -> Fraction | None:
    for shape, left_out in _SHAPES:
        if shape.fullmatch(text):
            return Fraction(re.sub(left_out, "", text) if left_out else text)
    if (mixed := _MIXED.fullmatch(text)) and 0 < Fraction(mixed[2]) < 1:
        return Fraction(mixed[1]) + Fraction(mixed[2])
    if vulgar := _VULGAR.fullmatch(text):
        top, bottom = unicodedata.normalize("NFKC", vulgar[2]).split("⁄")
        return int(vulgar[1] or 0) + Fraction(int(top), int(bottom))
    if comma := _COMMA.fullmatch(text):
        whole, part = comma.groups()
        raise ValueError(
            f"the reference '{text}' can be read in two ways, as {whole}{part} or as {whole or 0}.{part}; "
            "write the one that is meant"
        )
    return None


def canonical(number: Fraction) -> str:
    """Write a number so that equal numbers have the same text: `18`, `2.5`, or `1/3` where the decimals don't end."""
    rest, twos, fives = number.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest > 1:
        return f"{number.numerator}/{number.denominator}"
    places = max(twos, fives)
    digits = str(abs(number) * 10**places).rjust(places + 1, "0")
    whole, decimals = digits[: len(digits) - places], digits[len(digits) - places :]
    return ("-" if number < 0 else "") + whole + (f".{decimals}" if places else "")
