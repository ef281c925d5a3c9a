"""Words of the analysis: numbers as readers see them, and names that mean nothing to Markdown."""

import re
from collections.abc import Iterable
from typing import Any

# What begins or ends something in Markdown or in the formulas that some viewers read in it; an underscore within a word
# is only an underscore.
SPECIAL = re.compile(r"([\\`*\[\]<>|&$~#!]|(?<![^\W_])_|_(?![^\W_]))")
# Entries of the summary with names that a configuration is free to choose.
NAMES = ("label", "against", "title", "differs", "caution", "author", "taken")


def escape(text: str) -> str:
    """Escape text so that Markdown shows it as it is, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def escaped(value: Any) -> Any:
    """Return a copy of a summary with its labels and titles escaped."""
    if isinstance(value, dict):
        return {
            key: escape(inside) if key in NAMES and isinstance(inside, str) else escaped(inside)
            for key, inside in value.items()
        }
    return [escaped(inside) for inside in value] if isinstance(value, list) else value


def code(text: str) -> str:
    """Write text in the type of code, with more backticks around it than there are in it."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def signed(value: float) -> str:
    """Write a difference of shares in points, without their name."""
    return f"{100 * value:+.1f}"


def points(value: float) -> str:
    return f"{signed(value)} points"


def bounds(low: float, high: float) -> str:
    """Write the bounds of an interval of differences, in points."""
    return f"{signed(low)} to {signed(high)}"


def interval(low: float, high: float) -> str:
    """Write the bounds of an interval of shares, in percent."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def table(header: list[str], rows: Iterable[list[str]], right: Iterable[int] = ()) -> str:
    """Write a table of escaped cells; columns named in `right` are aligned to the right."""
    rules = ["---:" if place in set(right) else "---" for place in range(len(header))]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, rules, *rows])
