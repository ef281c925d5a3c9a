"""Intervals and paired tests."""

import math

import numpy as np
from scipy.stats import binom, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint


def proportion_interval(correct: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of correct / n."""
    low, high = proportion_confint(correct, n, alpha=1 - confidence, method="wilson")
    # Rounding may leave a bound on the wrong side of an accuracy of 0 or 1.
    return min(float(low), correct / n), max(float(high), correct / n)


def independent_difference(ours: tuple[int, int], theirs: tuple[int, int], confidence: float) -> dict[str, float]:
    """Difference of two accuracies, each (right answers, questions), that aren't known question by question.

    Returns:
        `difference`, and `difference_low` to `difference_high`, Newcombe's (1998) interval for independent proportions.
    """
    low, high = confint_proportions_2indep(*ours, *theirs, method="newcomb", compare="diff", alpha=1 - confidence)
    difference = ours[0] / ours[1] - theirs[0] / theirs[1]
    return {"difference": difference, "difference_low": float(low), "difference_high": float(high)}


def paired_difference(ours: np.ndarray, theirs: np.ndarray, confidence: float, tests: int = 1) -> dict[str, float]:
    """Difference in accuracy of two conditions on the same questions.

    Args:
        ours, theirs: (questions,) booleans in the same order.
        confidence: coverage of the interval.
        tests: size of the family of tests that this one is corrected with.

    Returns:
        `difference` with the interval `low` to `high` of Agresti and Min (2005), which adds half a question to each
        cell of the table and so has a width where the two never disagree; the exact McNemar `p_value`; and
        `detectable`, as `detectable_difference` gives it for the number of disagreements seen.
    """
    n = len(ours)
    won, lost = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    difference = (won - lost) / n
    more, total = (won - lost) / (n + 2), n + 2
    error = math.sqrt((won + lost + 1) / total - more**2) / math.sqrt(total)
    z = norm.ppf(0.5 + confidence / 2)
    table = [[int((ours & theirs).sum()), won], [lost, int((~ours & ~theirs).sum())]]
    return {
        "difference": difference,
        "low": max(-1.0, min(more - z * error, difference)),
        "high": min(1.0, max(more + z * error, difference)),
        "p_value": float(mcnemar(table, exact=True).pvalue),
        "detectable": detectable_difference(n, won + lost, (1 - confidence) / tests),
    }


def detectable_difference(n: int, disagreements: int, level: float) -> float:
    """The smallest true difference that McNemar's exact test at this level finds four times out of five.

    Two conditions are taken to disagree as often as they were seen to, or as often as the difference itself asks for if
    that is more. NaN if n questions are too few for any difference.
    """
    low, high = 0.0, 1.0
    if _power(n, disagreements / n, 1.0, level) < 0.8:
        return math.nan
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if _power(n, disagreements / n, middle, level) >= 0.8 else (middle, high)
    return high


def _power(n: int, rate: float, difference: float, level: float) -> float:
    """Probability of a significant exact McNemar test, summed over how many of n questions the two disagree on."""
    rate = max(rate, difference)
    counts = np.arange(n + 1)
    # The largest number of losses, or of wins, that is still significant among so many disagreements; -1 for none.
    limit = binom.ppf(level / 2, counts, 0.5)
    limit = np.where(binom.cdf(limit, counts, 0.5) <= level / 2, limit, limit - 1)
    wins = (rate + difference) / (2 * rate) if rate else 0.5
    significant = binom.cdf(limit, counts, 1 - wins) + binom.cdf(limit, counts, wins)
    return float((binom.pmf(counts, n, rate) * significant).sum())
