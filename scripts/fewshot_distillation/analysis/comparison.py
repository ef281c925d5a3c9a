"""Comparisons of two conditions, families of them, and the verdict that each allows."""

import math
from typing import NamedTuple

import numpy as np

from . import crossed
from .paired import PairedDifference, detectable_difference, mcnemar_questions, paired_difference
from .wording import BETTER, EQUIVALENT, INDISTINGUISHABLE, WORSE


class Answers(NamedTuple):
    """Right answers of one condition, (seeds, questions) booleans; `trained` if another seed would be another model."""

    right: np.ndarray
    trained: bool = True

    @property
    def seeds(self) -> int:
        return self.right.shape[-2]


def several_seeds(ours: Answers, theirs: Answers) -> bool:
    """Return whether there are seeds from which to estimate what another would change."""
    return any(side.trained and side.seeds > 1 for side in (ours, theirs))


def difference(ours: Answers, theirs: Answers) -> crossed.Difference | PairedDifference:
    """Estimate a difference: over seeds and questions, or question by question where there is one seed."""
    if several_seeds(ours, theirs):
        return crossed.crossed_difference(ours.right, theirs.right, (ours.trained, theirs.trained))
    return paired_difference(ours.right[..., 0, :], theirs.right[..., 0, :])


class Verdicts(NamedTuple):
    """What families of comparisons show: corrected p-values and a verdict each, (..., comparisons)."""

    p_corrected: np.ndarray
    equivalence_p_corrected: np.ndarray
    words: np.ndarray


def verdicts(values: np.ndarray, p: np.ndarray, equivalence_p: np.ndarray, confidence: float) -> Verdicts:
    """Correct families with Holm's method, tests of differences and of equivalence each among themselves.

    Args:
        values: (..., comparisons) differences; leading axes are studies.
        p, equivalence_p: uncorrected p-values of a difference, and of equivalence within the margin.
        confidence: 1 minus the probability that any comparison of a family is wrongly called different.
    """
    level = 1 - confidence
    different, equivalent = holm(np.asarray(p)), holm(np.asarray(equivalence_p))
    word = np.where(equivalent <= level, EQUIVALENT, INDISTINGUISHABLE)
    word = np.where(different <= level, np.where(np.asarray(values) > 0, BETTER, WORSE), word)
    return Verdicts(different, equivalent, word)


def holm(p: np.ndarray) -> np.ndarray:
    """Correct (..., tests) p-values with Holm's (1979) step-down method, as statsmodels does one family at a time."""
    order = np.argsort(p, axis=-1)
    left = np.arange(p.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, -1) * left, axis=-1)
    corrected = np.empty_like(stepped)
    np.put_along_axis(corrected, order, np.minimum(stepped, 1.0), axis=-1)
    return corrected


class Size(NamedTuple):
    """What a study of this size can find; shares, and numbers that are None where no number is enough or known."""

    detectable: float | None
    questions_needed: int | None
    seeds_needed: int | None


def size(ours: Answers, theirs: Answers, margin: float, level: float) -> Size:
    """Return the smallest difference that such a study has 80 % power to detect, and what the margin would take.

    Args:
        margin: the difference, as a share, for which the questions (with these seeds) and the seeds (of either side,
            with these questions) are counted.
        level: two-sided level of the test, corrected for its family.
    """
    questions = ours.right.shape[-1]
    if not several_seeds(ours, theirs):
        found = paired_difference(ours.right[0], theirs.right[0])
        rate = float(found.won + found.lost) / questions
        least = detectable_difference(rate, questions, level)
        return Size(_number(least), mcnemar_questions(margin, rate, level), None)
    trained, seeds = (ours.trained, theirs.trained), (ours.seeds, theirs.seeds)
    parts = crossed.variances(ours.right, theirs.right, trained)
    return Size(
        _number(crossed.detectable(parts, seeds, questions, level)),
        crossed.questions_needed(margin, parts, seeds, level),
        crossed.seeds_needed(margin, parts, questions, level, trained),
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
