"""Numbers in a text of plain characters, as people write them, with their exact values.

Digits and separators are found as one run, which is then read as a whole, so no text is tried in many ways.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from .algebra import FUNCTION

CURRENCY = (
    r"(?:[$€£¥₹₽₩₺₫₱]|(?<![A-Za-z])(?:(?:US|AU?|CA?|NZ|HK|SG?|R|MX)\$"
    r"|(?:USD|EUR|GBP|INR|CHF|CNY|JPY|Rs)\.?(?![A-Za-z])))"
)
_SPACE = "[ \u00a0\u2000-\u200a\u202f\u205f]"

# Digits with separators between them; a space is one only before a group of three digits.
_RUN = re.compile(rf"[0-9]++(?:[.,'_][0-9]++|{_SPACE}(?=[0-9]{{3}}(?![0-9]))[0-9]{{3}})*+|\.[0-9]++")
# `1,2,3`, and the two numbers of `in 2024 100`; with three digits in the middle they are thousands, written wrongly.
_LIST = re.compile(rf"[0-9]++(?:,(?!0[0-9]|[0-9]{{3}},)[0-9]++|{_SPACE}[0-9]++)++(?:\.[0-9]++)?")
# Longer ones nobody means: a model that repeats itself writes them.
_MOST_CHARACTERS = 400
_LARGEST_EXPONENT = 300

# With spaces around the slash it is no fraction where a word follows: `$60 / 8 hours` is a division.
_FRACTION = re.compile(r"[ ]?/(?![ ][0-9]{1,300}[ ]?[A-Za-z])[ ]?([0-9]{1,300})(?![0-9]|[.,/][0-9])")
_MIXED = re.compile(r"[ ](?:(?:and|&)[ ])?([0-9]{1,9})/([0-9]{1,9})(?![0-9]|[.,/][0-9])")
_EXPONENT = re.compile(r"(?:[eE]|(?:(?<=\.\d)|(?<=\.\d\d))[ ]E)([-+]?[0-9]{1,3})(?!\w|\.\d)")
_TIMES_POWER = re.compile(r"[ ]?[xX×*·][ ]?10\^([-+]?[0-9]{1,3})(?!\w|\.\d)")
_POWER = re.compile(r"\^([-+]?[0-9]{1,3})(?!\w|\.\d)")
MAGNITUDE = re.compile(
    r"(?:[ ]{1,3}|-)?(?P<word>hundred|thousand|lakh|million|millon|crore|milliard|billion|trillion|quadrillion)"
    r"(?:s|e?n|e|es)?(?![\w-])|[ ]{0,3}(?P<short>mio|mln|mrd)\b\.?|[ ]?(?P<sign>[万萬亿億])",
    re.IGNORECASE,
)
_LETTER = re.compile(r"[ ]?([kKMB]|[mb]n)(?!\w)")
_TIMES = {
    "hundred": 10**2, "thousand": 10**3, "lakh": 10**5, "million": 10**6, "millon": 10**6, "mio": 10**6, "mln": 10**6,
    "crore": 10**7, "milliard": 10**9, "mrd": 10**9, "billion": 10**9, "trillion": 10**12, "quadrillion": 10**15,
    "万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8,
    "k": 10**3, "m": 10**6, "mn": 10**6, "b": 10**9, "bn": 10**9,
}  # fmt: skip
# `4 million and 500 thousand`.
_SMALLER = re.compile(r"[ ](?:and[ ])?([0-9]{1,3})(?=[ ])")
# What makes a number part of something else: a power, a time, a range, a date, a sum that is still to be done, algebra.
_GOES_ON = re.compile(
    r"[\^]|[:/-][0-9]|[^\S\n]{0,9}[-+*/×÷·][^\S\n]{0,9}[(\[$€£]{0,2}(?:[0-9]|[b-hj-zB-HJ-Z](?![A-Za-z]))"
    rf"|[^\S\n]{{1,9}}x[^\S\n]{{1,9}}[0-9]|x[0-9]|[nxyz](?![A-Za-z])|\.?[ ]?{FUNCTION}"
)
# In running text a hyphen that follows a word, or is apart from its number, is no minus: `Day-3`, `- 18`, `7 - 3`.
_BEFORE = re.compile(rf"(?:(?<![\w)\]])(?P<sign>-))?(?:{CURRENCY}[^\S\n]?(?P<inner>-)?)?\Z")


@dataclass(frozen=True)
class Number:
    """A number that was found, and where it begins and ends; without a value it is part of something else."""

    value: Fraction | None
    start: int
    end: int


def number_at(text: str, start: int) -> Number | None:
    """Read the number, without its sign, whose digits begin at a place; None if there are no digits."""
    run = _RUN.match(text, start)
    return _read(text, run, value_of(run[0])) if run else None


def numbers(text: str) -> Iterator[Number]:
    """Find all numbers of running text that have a value, with their signs."""
    position = 0
    while run := _RUN.search(text, position):
        value = value_of(run[0])
        if value is None and _LIST.fullmatch(run[0]):
            # The last of them is what counts, if anything does.
            value = value_of(re.split(rf",|{_SPACE}", run[0])[-1])
        number = _read(text, run, value)
        position = max(number.end, run.end())
        before = text[max(0, run.start() - 8) : run.start()]
        if number.value is None or before[-1:] in ("/", "^"):
            continue
        signed = _BEFORE.search(before)
        negative = signed["sign"] or signed["inner"]
        yield Number(-number.value if negative else number.value, run.start(), number.end)


def _read(text: str, run: re.Match, value: Fraction | None) -> Number:
    """The number that begins with a run of digits of a value, and what follows it."""
    digits, end = run[0], run.end()
    mixed = _MIXED.match(text, end) if digits.isdigit() else None
    if mixed:
        top, bottom = int(mixed[1]), int(mixed[2])
        if value is not None and 0 < top < bottom:
            value, end = value + Fraction(top, bottom), mixed.end()
    elif value is not None and (quotient := _FRACTION.match(text, end)):
        value, end = (value / int(quotient[1]) if int(quotient[1]) else None), quotient.end()
    value, end = _scaled(text, run, value, end)
    return Number(None if _GOES_ON.match(text, end) else value, run.start(), end)


def _scaled(text: str, run: re.Match, value: Fraction | None, end: int) -> tuple[Fraction | None, int]:
    """The value with the power of ten or the magnitude that follows it."""
    if value is None:
        return None, end
    exponent = _EXPONENT.match(text, end) or _TIMES_POWER.match(text, end)
    power = _POWER.match(text, end) if run[0] == "10" else None
    if found := exponent or power:
        n = int(found[1])
        if abs(n) > _LARGEST_EXPONENT:
            return None, found.end()
        return (value if exponent else 1) * Fraction(10) ** n, found.end()
    scale, end = _magnitude(text, end)
    # Letters are magnitudes of money alone: `18 m` are metres.
    money = re.search(rf"{CURRENCY}[ ]?-?\Z", text[max(0, run.start() - 5) : run.start()])
    if scale == 1 and money and (letter := _LETTER.match(text, end)):
        return value * _TIMES[letter[1].lower()], letter.end()
    smaller = _SMALLER.match(text, end) if scale > 1 else None
    if smaller:
        other, stop = _magnitude(text, smaller.end())
        if 1 < other < scale:
            return value * scale + int(smaller[1]) * other, stop
    return value * scale, end


def _magnitude(text: str, end: int) -> tuple[int, int]:
    """What the words at a place multiply by, and where they end; 1 if there are none."""
    scale = 1
    for _ in range(2):  # two hundred thousand
        if found := MAGNITUDE.match(text, end):
            scale, end = scale * _TIMES[(found["word"] or found["short"] or found["sign"]).lower()], found.end()
    return scale, end


def value_of(digits: str) -> Fraction | None:
    """Read digits with separators; None if the separators are in places where no one writes them.

    A single comma before three digits parts thousands, before others it is a decimal comma. With both a comma and a
    point, the last one begins the decimals.
    """
    if len(digits) > _MOST_CHARACTERS:
        return None
    if digits.isdigit():
        return Fraction(digits)
    if re.search(rf"['_]|{_SPACE}", digits):
        whole, _, decimals = digits.replace(",", ".").partition(".")
        groups = re.split(rf"['_]|{_SPACE}", whole)
        if "." in decimals or not decimals.isdigit() and decimals or not _thousands(groups):
            return None
        return Fraction(f"{''.join(groups)}.{decimals or 0}")
    points, commas = digits.count("."), digits.count(",")
    if points and commas:
        decimal, other = (".", ",") if digits.rindex(".") > digits.rindex(",") else (",", ".")
        whole, _, decimals = digits.rpartition(decimal)
        if decimal in whole or not _thousands(whole.split(other), indian=other == ","):
            return None
        return Fraction(f"{whole.replace(other, '')}.{decimals}")
    if points + commas == 1:
        whole, _, decimals = digits.replace(",", ".").partition(".")
        parts_thousands = commas and len(decimals) == 3 and 1 <= len(whole) <= 3 and whole[0] != "0"
        return Fraction(whole + decimals) if parts_thousands else Fraction(f"{whole}.{decimals}")
    groups = re.split("[.,]", digits)
    return Fraction("".join(groups)) if _thousands(groups, indian=commas > 0) else None


def _thousands(groups: list[str], indian: bool = False) -> bool:
    """Whether groups of digits are those between thousands separators; India parts hundreds above the thousand."""
    first, *middle, last = groups if len(groups) > 1 else [*groups, "000"]
    inner = {2, 3} if indian else {3}
    return 1 <= len(first) <= 3 and first[0] != "0" and len(last) == 3 and {len(g) for g in middle} <= inner
