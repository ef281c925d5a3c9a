"""The reference number of an answer; what models write is read elsewhere, so that a new reader reruns nothing."""

import re
from decimal import Decimal

_GOLD = re.compile(r"####\s*([-−]?)\s*[$€£]?\s*([-−]?)(\d[\d,]*(?:\.\d+)?)\.?\s*$")


def gold(answer: str) -> Decimal:
    """The number after `####` on the last line.

    Raises:
        ValueError: there is none.
    """
    match = _GOLD.search(answer.strip())
    if match is None:
        raise ValueError("the answer doesn't end in '#### <number>'")
    sign = "-" if match[1] or match[2] else ""
    return Decimal(sign + match[3].replace(",", ""))
