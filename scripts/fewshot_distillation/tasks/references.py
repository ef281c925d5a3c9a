"""Reference numbers, and the canonical form of a number as text."""

import re
from decimal import Decimal
from fractions import Fraction

_REFERENCE = re.compile(r"####\s*([-−]?)\s*[$€£]?\s*([-−]?)(\d[\d,]*(?:\.\d+)?)\.?\s*$")


def number_after_mark(answer: str) -> Fraction:
    """Read the number after `####` on the last line of a worked answer.

    Raises:
        ValueError: there is none.
    """
    match = _REFERENCE.search(answer.strip())
    if match is None:
        raise ValueError("the answer doesn't end in '#### <number>'")
    sign = "-" if match[1] or match[2] else ""
    return Fraction(sign + match[3].replace(",", ""))


def canonical(number: Fraction) -> str:
    """Write a number so that equal numbers have the same text: `18`, `2.5`, or `1/3` where the decimals don't end."""
    if number.denominator == 1:
        return str(number.numerator)
    twos_and_fives = number.denominator
    for factor in (2, 5):
        while twos_and_fives % factor == 0:
            twos_and_fives //= factor
    if twos_and_fives > 1:
        return f"{number.numerator}/{number.denominator}"
    places = 0
    while (number * 10**places).denominator > 1:
        places += 1
    return format(Decimal(int(number * 10**places)).scaleb(-places), "f")
