"""Differences in accuracy between conditions that were trained with several seeds and asked the same questions.

Seeds and questions are crossed random effects, as readers and cases are in multi-reader studies of diagnostic accuracy.
The variance of a difference is that of its mean over questions, which holds how questions differ and what is left over,
plus what the seeds of each condition vary by beyond that. Degrees of freedom are Satterthwaite's, with the variances of
seeds as the uncertain ones (Hillis 2014, Statistics in Medicine 33:330–360, has it for readers). A bootstrap of three
seeds has three values to draw from and covers too little. Chosen by simulation, see tests/unit/test_calibration.py.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t

from .statistics import proportion_interval

# The share of studies in which a difference called detectable is found.
POWER = 0.8
# Points of a seed variance's distribution over which the power of a test is averaged.
QUANTILES = (np.arange(64) + 0.5) / 64
# No study asks more questions, or trains with more seeds, than this.
MOST, MOST_SEEDS = 1_000_000, 1000


class Variances(NamedTuple):
    """What one answer, right or wrong, varies by; pairs are (ours, theirs).

    question: of the difference between both conditions' expected answers, over questions.
    residual: of an answer about what its condition and its seed let expect of the question.
    seed: of a seed's expected accuracy; 0 for a model that was not trained.
    """

    question: float
    residual: tuple[float, float]
    seed: tuple[float, float]


class Difference(NamedTuple):
    """A difference in accuracy, its standard error and the degrees of freedom of that; arrays over studies."""

    value: np.ndarray
    error: np.ndarray
    freedom: np.ndarray

    def interval(self, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the two-sided interval of this coverage."""
        half = t.ppf(0.5 + confidence / 2, self.freedom) * self.error
        return np.maximum(self.value - half, -1.0), np.minimum(self.value + half, 1.0)

    def p_value(self) -> np.ndarray:
        """Test against no difference, two-sided."""
        return 2 * t.sf(np.abs(self.value) / self.error, self.freedom)

    def equivalence_p_value(self, margin: float) -> np.ndarray:
        """Test against a difference of `margin` or more either way: the larger of two one-sided tests (TOST)."""
        return t.sf((margin - np.abs(self.value)) / self.error, self.freedom)


class _Seeds(NamedTuple):
    """Variance that seeds add to a difference: beyond the residual, with it, and its degrees of freedom."""

    beyond: np.ndarray
    total: np.ndarray
    freedom: int


def _two_way(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the variance of seeds' accuracies and the mean square of residuals of (..., seeds, questions) answers."""
    seeds, questions = answers.shape[-2:]
    by_seed, by_question = answers.mean(-1), answers.mean(-2)
    mean = by_seed.mean(-1)
    between = by_seed.var(-1, ddof=1)
    squares = seeds * questions * mean * (1 - mean)  # of answers that are 0 or 1
    squares = squares - questions * (seeds - 1) * between - seeds * questions * by_question.var(-1)
    return between, np.maximum(squares, 0.0) / ((seeds - 1) * (questions - 1))


def _sides(ours: np.ndarray, theirs: np.ndarray, trained: tuple[bool, bool]) -> list[_Seeds]:
    """What the seeds of either side add. A side with one seed is taken to vary as the other does."""
    sides = [(x, is_trained) for x, is_trained in zip((ours, theirs), trained, strict=True) if is_trained]
    several = [x for x, _ in sides if x.shape[-2] > 1]
    single = len(sides) - len(several)
    found = []
    for x in several:
        seeds, questions = x.shape[-2:]
        between, residual = _two_way(x)
        weight = 1 / seeds + (single if len(several) == 1 else 0)
        total, noise = between * weight, residual * weight / questions
        # Two seeds estimate their variance so poorly that a small one by chance must not count as certain.
        found.append(_Seeds(np.maximum(total - noise, 0), np.maximum(total, noise) if seeds == 2 else total, seeds - 1))
    return found


def crossed_difference(ours: np.ndarray, theirs: np.ndarray, trained: tuple[bool, bool] = (True, True)) -> Difference:
    """Estimate the difference in accuracy of two conditions over seeds and questions together.

    Args:
        ours, theirs: (..., seeds, questions) booleans, whether an answer is right; the same questions in the same
            order, any number of seeds. Leading axes are studies.
        trained: whether a side was trained, so that another seed would give another model.

    Raises:
        ValueError: no side that was trained has two seeds, so what another seed would change can't be estimated.
    """
    sides = _sides(ours, theirs, trained)
    if not sides and any(trained):
        raise ValueError("expected at least two seeds of one condition, got one of each; use paired_difference")
    each = ours.mean(-2) - theirs.mean(-2)
    asked = _over_questions(each, max(ours.shape[-2], theirs.shape[-2]))
    return Difference(each.mean(-1), *_error(asked, each.shape[-1], sides))


def crossed_accuracy(right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error of the accuracy of (..., seeds, questions) answers, and its degrees of freedom."""
    seeds, questions = right.shape[-2:]
    return _error(_over_questions(right.mean(-2), seeds), questions, _sides(right, right, (True, False)))


def _over_questions(each: np.ndarray, seeds: int) -> np.ndarray:
    """Variance of a mean over questions. Where nothing varies it still has a width: that of one answer more."""
    questions = each.shape[-1]
    return np.maximum(each.var(-1, ddof=1) / questions, 1 / (seeds * questions**2))


def _error(asked: np.ndarray, questions: int, sides: list[_Seeds]) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom, of the variance over questions and what seeds add."""
    variance = asked + sum(side.beyond for side in sides)
    uncertain = asked**2 / (questions - 1) + sum(side.total**2 / side.freedom for side in sides)
    return np.sqrt(variance), variance**2 / uncertain


def pooled_interval(right: np.ndarray, confidence: float) -> tuple[float, float]:
    """Compute the interval of an accuracy over seeds and questions together.

    Args:
        right: (seeds, questions) booleans, whether an answer is right.

    Returns:
        Wilson's interval for one seed. For several it is Wilson's with the number of independent answers that would
        have the same variance over seeds and questions, and Student's quantile at its degrees of freedom, as surveys
        of clusters have it (Dean and Pagano 2015, Journal of Survey Statistics and Methodology 3:484–503).
    """
    seeds, questions = right.shape
    share = float(right.mean())
    if seeds == 1 or share in (0.0, 1.0):
        return proportion_interval(int(right[0].sum()), questions, confidence)
    error, freedom = crossed_accuracy(right)
    independent = share * (1 - share) / float(error) ** 2
    z = t.ppf(0.5 + confidence / 2, float(freedom))
    middle = (share + z * z / (2 * independent)) / (1 + z * z / independent)
    half = z / (1 + z * z / independent) * math.sqrt(share * (1 - share) / independent + (z / (2 * independent)) ** 2)
    return middle - half, middle + half


def variances(ours: np.ndarray, theirs: np.ndarray, trained: tuple[bool, bool] = (True, True)) -> Variances:
    """Split the variance of one study, (seeds, questions) answers of either side, into its components."""
    residual, seed = [0.0, 0.0], [0.0, 0.0]
    for side, x in enumerate((ours, theirs)):
        if trained[side] and x.shape[-2] > 1:
            between, noise = _two_way(x)
            residual[side], seed[side] = float(noise), max(float(between - noise / x.shape[-1]), 0.0)
    for side, other in ((0, 1), (1, 0)):
        if trained[side] and (ours, theirs)[side].shape[-2] == 1:
            residual[side], seed[side] = residual[other], seed[other]
    each = ours.mean(-2) - theirs.mean(-2)
    left = sum(r / x.shape[-2] for r, x in zip(residual, (ours, theirs), strict=True))
    return Variances(max(float(each.var(ddof=1)) - left, 0.0), tuple(residual), tuple(seed))


def power(effect: float, found: Variances, seeds: tuple[int, int], questions: int, level: float) -> float:
    """Return the probability that `crossed_difference` finds a true difference at this two-sided level.

    Both errors are known but for the seeds' variances, which are chi-squared: their distribution is summed over.
    """
    asked = (found.question + sum(r / s for r, s in zip(found.residual, seeds, strict=True))) / questions
    sides: list[_Seeds] = []
    parts = [part for part in zip(found.residual, found.seed, seeds, strict=True) if part[0] + part[1] > 0]
    several = [part for part in parts if part[2] > 1]
    for residual, seed, count in several:
        weight = 1 / count + (len(parts) - 1 if len(several) == 1 else 0)
        noise = residual * weight / questions
        total = (seed * weight + noise) * chi2.ppf(QUANTILES, count - 1) / (count - 1)
        total = total.reshape(-1, *[1] * len(sides))
        certain = np.maximum(total, noise) if count == 2 else total
        sides.append(_Seeds(np.maximum(total - noise, 0), certain, count - 1))
    error, freedom = _error(np.asarray(asked), questions, sides)
    true = np.sqrt(asked + sum(v / s for v, s in zip(found.seed, seeds, strict=True)))
    limit = t.ppf(1 - level / 2, freedom) * error
    return float(np.mean(norm.sf((limit - effect) / true) + norm.cdf((-limit - effect) / true)))


def detectable(found: Variances, seeds: tuple[int, int], questions: int, level: float) -> float:
    """Return the smallest true difference that is found in 80 % of such studies; NaN if even 100 points are not."""
    if power(1.0, found, seeds, questions, level) < POWER:
        return float("nan")
    return float(brentq(lambda x: power(x, found, seeds, questions, level) - POWER, 0.0, 1.0, xtol=1e-5))


def questions_needed(effect: float, found: Variances, seeds: tuple[int, int], level: float) -> int | None:
    """Return the number of questions with which a difference is found in 80 % of studies; None if none is enough."""
    return smallest(lambda n: power(effect, found, seeds, n, level) >= POWER, 2, MOST)


def seeds_needed(
    effect: float, found: Variances, questions: int, level: float, trained: tuple[bool, bool] = (True, True)
) -> int | None:
    """Return the number of seeds of what was trained with which a difference is found in 80 % of studies, or None."""

    def enough(seeds: int) -> bool:
        counts = tuple(seeds if is_trained else 1 for is_trained in trained)
        return power(effect, found, counts, questions, level) >= POWER

    return smallest(enough, 2, MOST_SEEDS)


def smallest(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the smallest number from `low` that is enough, if more are enough as well; None if even `high` is not."""
    above = low
    while not enough(above):
        if above >= high:
            return None
        low, above = above + 1, min(2 * above, high)
    while low < above:
        middle = (low + above) // 2
        low, above = (low, middle) if enough(middle) else (middle + 1, above)
    return above
