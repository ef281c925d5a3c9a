"""The number in what a model wrote, read strictly (after `####`) or flexibly."""

import re
from decimal import Decimal

# A number as people write it: thousands separators, decimals; a sign or a currency touches it.
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_CURRENCY = r"(?:\\?[$€£]\s?(?P<inner>[-−]?))?"
# In running text a hyphen that follows a word, or stands apart from its number, is no minus: `Day-3`, `- 18`, `7 - 3`.
_IN_TEXT = re.compile(rf"(?:(?<![\w)])(?P<sign>[-−]))?{_CURRENCY}(?P<digits>{_DIGITS})")
_MARKED = re.compile(
    rf"####[\s*:=+]*(?P<sign>[-−]?)\s?{_CURRENCY}(?P<digits>\d{{1,3}}(?: \d{{3}})+(?!\d)|{_DIGITS})"
    r"(?:/(?P<divisor>[1-9]\d*))?"
)


def _value(match: re.Match) -> Decimal:
    number = Decimal(re.sub(r"[, ]", "", match["digits"]))
    divisor = match.groupdict().get("divisor")
    if divisor:
        number /= Decimal(divisor)
    return -number if match["sign"] or match["inner"] else number


def strict(text: str) -> Decimal | None:
    """The number after the first `####` that has one: what comes after the answer was given doesn't count."""
    match = _MARKED.search(text)
    return _value(match) if match else None


def flexible(text: str) -> Decimal | None:
    """The marked number if there is one, or else the last number in the text."""
    marked = strict(text)
    if marked is not None:
        return marked
    last = None
    for match in _IN_TEXT.finditer(text):
        last = match
    return _value(last) if last else None
