"""The number in what a model wrote, read strictly (after `####`) or flexibly."""

import re
from decimal import Decimal, InvalidOperation

# A number as people write it: sign, currency, thousands separators, decimals.
NUMBER = r"[-−+]?\s?[$€£]?\s?[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|[-−+]?\s?[$€£]?\s?\.\d+"
_NUMBER = re.compile(NUMBER)
_MARKED = re.compile(rf"####[\s*=]*({NUMBER})")
_SIGN_OR_DIGITS = re.compile(r"[^\d.\-]")


def to_decimal(text: str) -> Decimal | None:
    """The value of a written number, or None."""
    cleaned = _SIGN_OR_DIGITS.sub("", text.replace("−", "-")).rstrip(".")
    try:
        return Decimal(cleaned)
    except InvalidOperation:
        return None


def strict(text: str) -> Decimal | None:
    """The number after the first `####` that has one: what comes after the answer was given doesn't count."""
    match = _MARKED.search(text)
    return to_decimal(match.group(1)) if match else None


def flexible(text: str) -> Decimal | None:
    """The marked number if there is one, or else the last number in the text."""
    marked = strict(text)
    if marked is not None:
        return marked
    # A minus between two numbers is subtraction, not a sign: `7 - 3` ends in 3.
    matches = list(_NUMBER.finditer(text))
    if not matches:
        return None
    last = matches[-1]
    number = last.group()
    if number[0] in "-−" and re.search(r"[\d)]\s*$", text[: last.start()]):
        number = number[1:]
    return to_decimal(number)
