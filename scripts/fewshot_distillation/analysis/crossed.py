"""Differences in accuracy between conditions that were trained with several seeds and asked the same questions.

Seeds and questions are crossed random effects, as readers and cases are in multi-reader studies of diagnostic accuracy.
The variance of a difference is that of its mean over questions, which holds how questions differ and what is left over,
plus what the seeds of each condition vary by beyond that. Degrees of freedom are Satterthwaite's, with the variances of
seeds as the uncertain ones (Hillis 2014, Statistics in Medicine 33:330–360, has it for readers). Where only one side
has seeds, that finds differences too often if these vary much: there Student's distributions of seeds and of questions
are weighed by their shares of the variance (Cochran 1964, Biometrics 20:191–195). A bootstrap of three seeds has three
values to draw from and covers too little. Chosen by simulation, see tests/unit/test_calibration.py.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t

from .bounded import LEAST, Bounded
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
    reach: by how much questions differ that differ at all, from 0 to 1. A true difference asks for such questions.
    """

    question: float
    residual: tuple[float, float]
    seed: tuple[float, float]
    reach: float = 0.0


class Difference(NamedTuple):
    """A difference in accuracy over seeds and questions; arrays over studies.

    Tests and intervals take the variance that the answers would have if the tested difference were the true one
    (`Bounded.variance_of_mean`), so that answers that never disagree are no proof that conditions are equal.
    """

    value: np.ndarray
    asked: Bounded
    sides: list["_Seeds"]

    def error_at(self, difference: np.ndarray | float) -> "Error":
        """Give the standard error if this were the true difference."""
        return _error(self.asked.variance_of_mean(difference), self.asked.count, self.sides)

    def tail(self, difference: np.ndarray | float, sign: int = 1) -> np.ndarray:
        """Give the probability of a value so far above a true difference, or below it for `sign` -1, or farther."""
        error = self.error_at(difference)
        return error.tail(sign * (self.value - difference) / np.maximum(error.value, LEAST))

    def interval(self, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Give the differences that a two-sided test does not reject, by bisection."""
        return self._bound(-1.0, confidence), self._bound(1.0, confidence)

    def _bound(self, end: float, confidence: float) -> np.ndarray:
        inside, outside = np.asarray(self.value, dtype=float), np.full(np.shape(self.value), end)
        for _ in range(20):
            middle = (inside + outside) / 2
            kept = 2 * self.tail(middle, -1 if end > 0 else 1) >= 1 - confidence
            inside, outside = np.where(kept, middle, inside), np.where(kept, outside, middle)
        return outside

    def p_value(self) -> np.ndarray:
        """Test against no difference, two-sided."""
        return np.minimum(2 * np.minimum(self.tail(0.0), self.tail(0.0, -1)), 1.0)

    def equivalence_p_value(self, margin: float) -> np.ndarray:
        """Test against a difference of `margin` or more either way: the larger of two one-sided tests (TOST)."""
        return np.maximum(self.tail(margin, -1), self.tail(-margin))


class Error(NamedTuple):
    """A standard error, and its distribution: Student's with the degrees of freedom of `seeds` and of `questions`, the
    first with a weight `of_seeds`."""

    value: np.ndarray
    of_seeds: np.ndarray
    seeds: np.ndarray
    questions: float

    def tail(self, statistic: np.ndarray) -> np.ndarray:
        """Give the probability of so many standard errors or more."""
        return (1 - self.of_seeds) * t.sf(statistic, self.questions) + self.of_seeds * t.sf(statistic, self.seeds)

    def critical(self, level: float) -> np.ndarray:
        """Give the number of standard errors that is exceeded either way with this probability."""
        upper = 1 - level / 2
        return (1 - self.of_seeds) * t.ppf(upper, self.questions) + self.of_seeds * t.ppf(upper, self.seeds)


class _Seeds(NamedTuple):
    """Variance that the seeds of a side add to a difference: what they vary by, of it the residual, and its degrees of
    freedom."""

    total: np.ndarray
    noise: np.ndarray
    freedom: int

    @property
    def beyond(self) -> np.ndarray:
        return np.maximum(self.total - self.noise, 0.0)


def _two_way(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the variance of seeds' accuracies and the mean square of residuals of (..., seeds, questions) answers."""
    seeds, questions = answers.shape[-2:]
    by_seed, by_question = answers.mean(-1), answers.mean(-2)
    mean = by_seed.mean(-1)
    between = by_seed.var(-1, ddof=1)
    squares = seeds * questions * mean * (1 - mean)  # of answers that are 0 or 1
    squares = squares - questions * (seeds - 1) * between - seeds * questions * by_question.var(-1)
    return between, np.maximum(squares, 0.0) / ((seeds - 1) * max(questions - 1, 1))


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
        found.append(_Seeds(between * weight, residual * weight / questions, seeds - 1))
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
    asked = Bounded.of(ours, theirs)
    return Difference(asked.mean, asked, sides)


def crossed_accuracy(right: np.ndarray) -> Error:
    """Give the standard error of the accuracy of (..., seeds, questions) answers."""
    seeds, questions = right.shape[-2:]
    return _error(_over_questions(right.mean(-2), seeds), questions, _sides(right, right, (True, False)))


def _over_questions(each: np.ndarray, seeds: int) -> np.ndarray:
    """Variance of a mean over questions. Where nothing varies it still has a width: that of one answer more."""
    questions = each.shape[-1]
    return np.maximum(each.var(-1) / max(questions - 1, 1), 1 / (seeds * questions**2))


def _error(asked: np.ndarray, questions: int, sides: list[_Seeds]) -> Error:
    """Standard error from the variance over questions and what seeds add."""
    variance, least = asked + sum(side.beyond for side in sides), float(max(questions - 1, 1))
    if len(sides) == 1:
        # Of the residual half counts as uncertain too, as few seeds may seem alike by chance.
        share = (sides[0].beyond + sides[0].noise / 2) / np.maximum(variance, LEAST)
        return Error(np.sqrt(variance), np.minimum(share, 1.0), np.asarray(sides[0].freedom), least)
    spread = asked**2 / least
    for side in sides:
        # Two seeds estimate their variance so poorly that a small one by chance must not count as certain.
        total = np.maximum(side.total, side.noise) if side.freedom == 1 else side.total
        spread = spread + total**2 / side.freedom
    freedom = np.divide(variance**2, spread, out=np.full(np.shape(spread), least), where=np.asarray(spread) > 0)
    return Error(np.sqrt(variance), np.ones(np.shape(freedom)), freedom, least)


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
    error = crossed_accuracy(right)
    independent = share * (1 - share) / float(error.value) ** 2
    z = float(error.critical(1 - confidence))
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
    varied = float(each.var(ddof=1)) if len(each) > 1 else 0.0
    reach = float((each**2).sum() / np.abs(each).sum()) if each.any() else 1.0
    return Variances(max(varied - left, 0.0), tuple(residual), tuple(seed), reach)


def power(effect: float, found: Variances, seeds: tuple[int, int], questions: int, level: float) -> float:
    """Return the probability that `crossed_difference` finds a true difference at this two-sided level.

    Both errors are known but for the seeds' variances, which are chi-squared: their distribution is summed over.
    """
    varied = found.question + sum(r / s for r, s in zip(found.residual, seeds, strict=True))
    asked = max(varied, found.reach * abs(effect) - effect**2) / questions
    sides: list[_Seeds] = []
    parts = [part for part in zip(found.residual, found.seed, seeds, strict=True) if part[0] + part[1] > 0]
    several = [part for part in parts if part[2] > 1]
    for residual, seed, count in several:
        weight = 1 / count + (len(parts) - 1 if len(several) == 1 else 0)
        noise = residual * weight / questions
        total = (seed * weight + noise) * chi2.ppf(QUANTILES, count - 1) / (count - 1)
        sides.append(_Seeds(total.reshape(-1, *[1] * len(sides)), noise, count - 1))
    # The test takes the variance that there would be without the difference, from which values are so much farther.
    error = _error(np.asarray(asked + effect**2 / questions), questions, sides)
    true = np.sqrt(asked + sum(v / s for v, s in zip(found.seed, seeds, strict=True)))
    limit = error.critical(level) * error.value
    if true == 0:  # no answer leaves anything to chance
        return float(effect > 0)
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
