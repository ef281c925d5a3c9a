"""Intervals and paired tests."""

import math

import numpy as np
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint


def proportion_interval(correct: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson score interval of correct / n."""
    low, high = proportion_confint(correct, n, alpha=1 - confidence, method="wilson")
    # Rounding may leave a bound on the wrong side of an accuracy of 0 or 1.
    return min(float(low), correct / n), max(float(high), correct / n)


def paired_difference(ours: np.ndarray, theirs: np.ndarray, confidence: float) -> dict[str, float]:
    """Difference in accuracy of two conditions on the same questions.

    Args:
        ours, theirs: (questions,) booleans in the same order.
        confidence: coverage of the interval.

    Returns:
        `difference` with the interval `low` to `high` of its normal approximation for paired proportions, the exact
        McNemar `p_value`, and `detectable`, the true difference that a test at this level would find four times out of
        five, given how often the two disagree.
    """
    n = len(ours)
    won, lost = int((ours & ~theirs).sum()), int((~ours & theirs).sum())
    difference = (won - lost) / n
    error = math.sqrt(max(won + lost - (won - lost) ** 2 / n, 0)) / n
    z = norm.ppf(0.5 + confidence / 2)
    table = [[int((ours & theirs).sum()), won], [lost, int((~ours & ~theirs).sum())]]
    return {
        "difference": difference,
        "low": difference - z * error,
        "high": difference + z * error,
        "p_value": float(mcnemar(table, exact=True).pvalue),
        "detectable": (z + norm.ppf(0.8)) * math.sqrt(won + lost) / n,
    }
