r"""Expressions that have no number as their value: with an unknown, or with a function such as `\sqrt`."""

import re

FUNCTION = r"(?:\\(?:sqrt|pi|overline|[dtcs]?frac|[dt]?binom|log|ln|sin|cos|tan|sum|prod|int)(?![A-Za-z])|[√π])"

# The letter between numbers multiplies.
_TIMES = re.compile(r"(?<=[\d)%])[^\S\n]{0,9}[xX][^\S\n]{0,9}(?=[$€£(]{0,2}\.?\d)")
# A unit or another word ends an expression, with the article before it.
_WORD = re.compile(
    r"(?:(?<!\w)[aAI][ ])?(?<![A-Za-z0-9])"
    r"(?!(?:plus|minus|times|over|of|by|divided|multiplied|[nxyz]{2,3})\b)[A-Za-z]{2}"
)
_OPERATOR = r"[^\S\n]{0,9}(?:[-+*×÷·^]|(?:plus|minus|times|divided by|multiplied by|of)\b)[^\S\n]{0,9}"
_LETTER = r"[A-Za-z](?![A-Za-z])"
_AMOUNT = r"\d[\d.,]*+"
# Letters behind a number may be units, `18 m`, unless they are those that everyone takes for unknowns.
_UNKNOWN = re.compile(
    r"(?<![A-Za-z'])(?<!\d[ ])[nxyz]{1,3}(?![A-Za-z']|-[A-Za-z]|\.[a-z])"
    r"|(?:\d[ ](?=[nxyz]{1,3}[ ]{0,9}[-+*×÷·^/=(][ ]{0,9}[\dA-Za-z(])|/\d{1,9}[ ])[nxyz]{1,3}(?![A-Za-z'])"
    rf"|[\d)]{_OPERATOR}[(]?{_LETTER}"
    rf"|(?:^[ ]{{0,9}}[b-hj-z]|\([ ]{{0,9}}[A-Za-z]){_OPERATOR}[\dA-Za-z(]"
    rf"|(?<![\w.,]){_AMOUNT}[ ]{{0,9}}[-+][ ]{{0,9}}{_AMOUNT}{_LETTER}"
    rf"|\d(?![eE])[A-Za-z][ ]{{0,9}}[-+][ ]{{0,9}}{_AMOUNT}(?![ ]?[A-Za-z])"
    r"|^[ ]{0,9}[b-hj-zB-HJ-Z][ ]{0,9}$"
)


def has_unknown(expression: str) -> bool:
    """Whether an expression, which units may follow, has an unknown: `2x + 54 dollars`, `4(a + b)`, `3 times x`."""
    return bool(_UNKNOWN.search(_WORD.split(_TIMES.sub("×", expression), maxsplit=1)[0]))
