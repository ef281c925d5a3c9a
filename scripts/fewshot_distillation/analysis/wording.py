"""Sentences about comparisons, as analysis.md and report.html both show them."""

from typing import Any

from .text import bounds, percent, points, signed

Row = dict[str, Any]

# The four verdicts.
BETTER, WORSE, EQUIVALENT, INDISTINGUISHABLE = "better", "worse", "equivalent", "not distinguishable"

ONE_SEED = "One seed: this compares these two models, and does not account for variation between seeds."

POWERLESS = "a study of this size does not have 80 % power to detect any difference"


def verdict_text(row: Row, confidence: float) -> str:
    """Say what a row of the table of comparisons shows, and what it would take to show more.

    The row's `label` and `against` are left out, so that the text can follow either.
    """
    return " ".join(part for part in (_finding(row, confidence), cut_text(row), _reach(row), _one_seed(row)) if part)


def verdict_in_brief(row: Row, theirs: Row | None, confidence: float) -> str:
    """Say the same in half a sentence that follows an accuracy: the verdict in bold, on whom, and its numbers.

    Args:
        theirs: the other side's row of the main comparison.
    """
    words = {
        BETTER: "**better** than",
        WORSE: "**worse** than",
        EQUIVALENT: f"**equivalent** (within ±{100 * row['margin']:g} points) to",
        INDISTINGUISHABLE: "**not distinguishable** from",
    }
    share = "" if theirs is None else f" with {percent(theirs['accuracy'])}"
    corrected = "" if row["family_size"] == 1 else ", Holm-corrected"
    p = row["p"] if row["family_size"] == 1 else row["p_corrected"]
    return (
        f"{words[row['verdict']]} {row['against']}{share} ({points(row['difference'])}, "
        f"{100 * confidence:g} % interval {bounds(row['low'], row['high'])}, p = {p:.2g}{corrected})"
    )


def certainty(row: Row) -> str:
    """Say what the intervals account for, and which difference such a study has 80 % power to detect."""
    sentence = (
        "The intervals account for variation across questions and seeds"
        if row["seeds"] > 1 or row["against_seeds"] > 1
        else "The intervals account for variation across questions, but with one seed not for variation between seeds"
    )
    if row["detectable"] is None:
        return f"{sentence}, and {POWERLESS}."
    return f"{sentence}, and {_power(row)}."


def cut_text(row: Row, what: str = "The difference") -> str:
    """Say that a difference is mostly one of answers that were cut, where half of it and more is; else nothing.

    Args:
        row: with `difference`, and `from_cut`, the part that comes from questions of which an answer was cut.
        what: the difference's name.
    """
    whole, part = row["difference"], row["from_cut"]
    if part is None or whole == 0 or part / whole < 0.5:
        return ""
    return (
        f"**{what} is mostly truncation**: questions of which an answer was cut at the length limit "
        f"(`evaluation.max_new_tokens`) account for {signed(part)} of its {points(whole)}."
    )


def _finding(row: Row, confidence: float) -> str:
    numbers = (
        f"{points(row['difference'])} ({100 * confidence:g} % interval {bounds(row['low'], row['high'])}; {_p(row)})"
    )
    margin = f"±{100 * row['margin']:g} points"
    if row["verdict"] in (BETTER, WORSE):
        small = row["equivalence_p_corrected"] <= 1 - confidence
        return (
            f"{row['verdict'].capitalize()}, {f'by less than {margin[1:]}' if small else 'beyond chance'}: {numbers}."
        )
    if row["verdict"] == EQUIVALENT:
        return f"Equivalent within {margin}: {numbers}."
    return f"Not distinguishable at this size: {numbers}."


def _p(row: Row) -> str:
    family = f"in the family “{row['family']}” of {row['family_size']}"
    if row["family_size"] == 1:
        return f"p = {row['p']:.2g}, the only test of its family “{row['family']}”"
    return f"p = {row['p_corrected']:.2g}, Holm-corrected {family}"


def _reach(row: Row) -> str:
    """Say which difference can be detected, and what it would take to detect one of the margin's size."""
    if row["verdict"] in (BETTER, WORSE):
        return ""
    if row["detectable"] is None:
        return f"{POWERLESS[0].upper()}{POWERLESS[1:]}."
    text = f"A{_power(row)[1:]}"
    if row["verdict"] == EQUIVALENT or row["detectable"] <= row["margin"]:
        return text + "."
    needed = []
    if row["questions_needed"] is not None:
        needed.append(f"{_about(row['questions_needed'])} questions")
    if row["seeds_needed"] is not None:
        needed.append(f"{row['seeds_needed']} seeds")
    lacking = "more questions" if row["seeds"] == row["against_seeds"] == 1 else "more questions or seeds alone"
    what = " or ".join(needed) if needed else f"more than {lacking} can give"
    return f"{text}; {100 * row['margin']:g} points would take {what}."


def _power(row: Row) -> str:
    return f"a study of this size has 80 % power to detect {100 * row['detectable']:.1f} points"


def _about(count: int) -> str:
    """Write a count with two significant digits."""
    if count < 100:
        return str(count)
    scale = 10 ** (len(str(count)) - 2)
    return f"about {round(count / scale) * scale:,}"


def _one_seed(row: Row) -> str:
    if row["seeds"] > 1 or row["against_seeds"] > 1:
        return ""
    return ONE_SEED
