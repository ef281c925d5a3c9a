"""Differences in accuracy between two sets of answers to the same questions, one set of either side."""

from typing import NamedTuple

import numpy as np
from scipy.stats import beta, binom, norm

from .crossed import MOST, POWER, smallest


class PairedDifference(NamedTuple):
    """How often only ours and only theirs is right, of so many questions; arrays over studies."""

    won: np.ndarray
    lost: np.ndarray
    questions: int

    @property
    def value(self) -> np.ndarray:
        return (self.won - self.lost) / self.questions

    def p_value(self) -> np.ndarray:
        """Test against no difference by McNemar's exact test, two-sided."""
        return np.minimum(1.0, 2 * binom.cdf(np.minimum(self.won, self.lost), self.won + self.lost, 0.5))

    def score(self, difference: np.ndarray | float) -> np.ndarray:
        """Return Tango's (1998) score statistic of a true difference, Statistics in Medicine 17:891–908, equation 11.

        Its variance is that of the likeliest cells among those with this difference, so it is not 0 where the two never
        disagree.
        """
        n, d = self.questions, difference
        b = -self.won - self.lost + (2 * n - self.won + self.lost) * d
        root = np.sqrt(np.maximum(b * b + 8 * n * self.lost * d * (1 - d), 0.0))
        lost = (root - b) / (4 * n)
        variance = n * (2 * lost + d * (1 - d))
        return (self.won - self.lost - n * d) / np.sqrt(np.maximum(variance, 1e-12))

    def interval(self, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        """Give the differences that the score statistic does not reject, by bisection, or that McNemar's test doesn't.

        With few disagreements the exact test rejects less than the score statistic. Its interval, Clopper and Pearson's
        of the share won among the disagreements, keeps the interval from contradicting the p-value.
        """
        z = norm.ppf(0.5 + confidence / 2)
        swapped = PairedDifference(self.lost, self.won, self.questions)
        low, high = (np.maximum(x._upper(z), x._exact_upper(confidence)) for x in (swapped, self))
        return -low, high

    def _exact_upper(self, confidence: float) -> np.ndarray:
        share = beta.ppf(0.5 + confidence / 2, self.won + 1, np.maximum(self.lost, 1))
        share = np.where(self.lost == 0, 1.0, share)
        return (2 * share - 1) * (self.won + self.lost) / self.questions

    def _upper(self, z: float) -> np.ndarray:
        low, high = np.asarray(self.value, dtype=float), np.ones(np.shape(self.won))
        for _ in range(40):
            middle = (low + high) / 2
            inside = self.score(middle) >= -z
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        return high

    def equivalence_p_value(self, margin: float) -> np.ndarray:
        """Test against a difference of `margin` or more either way: the larger of two one-sided score tests."""
        swapped = PairedDifference(self.lost, self.won, self.questions)
        return norm.cdf(np.maximum(self.score(margin), swapped.score(margin)))


def paired_difference(ours: np.ndarray, theirs: np.ndarray) -> PairedDifference:
    """Count disagreements of (..., questions) booleans in the same order; leading axes are studies."""
    return PairedDifference((ours & ~theirs).sum(-1), (~ours & theirs).sum(-1), ours.shape[-1])


def mcnemar_power(effect: float, rate: float, questions: int, level: float) -> float:
    """Return the probability that McNemar's exact test finds a true difference.

    `rate` is the share of questions on which the two disagree, or more if the difference itself asks for more.
    """
    rate = max(rate, abs(effect))
    spread = 8 * np.sqrt(questions * rate * (1 - rate)) + 8
    counts = np.arange(max(0, int(questions * rate - spread)), min(questions, int(questions * rate + spread)) + 1)
    # The largest number of losses, or of wins, that is still significant among so many disagreements; -1 for none.
    limit = binom.ppf(level / 2, counts, 0.5)
    limit = np.where(binom.cdf(limit, counts, 0.5) <= level / 2, limit, limit - 1)
    wins = (rate + effect) / (2 * rate) if rate else 0.5
    significant = binom.cdf(limit, counts, 1 - wins) + binom.cdf(limit, counts, wins)
    return float((binom.pmf(counts, questions, rate) * significant).sum())


def detectable_difference(rate: float, questions: int, level: float) -> float:
    """Return the smallest true difference that McNemar's exact test finds in 80 % of such studies.

    NaN if so few questions find none.
    """
    low, high = 0.0, 1.0
    if mcnemar_power(1.0, rate, questions, level) < POWER:
        return float("nan")
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if mcnemar_power(middle, rate, questions, level) >= POWER else (middle, high)
    return high


def mcnemar_questions(effect: float, rate: float, level: float) -> int | None:
    """Return the number of questions with which McNemar's exact test finds a difference in 80 % of studies."""
    return smallest(lambda n: mcnemar_power(effect, rate, n, level) >= POWER, 2, MOST)
