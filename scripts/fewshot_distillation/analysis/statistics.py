"""Intervals of accuracies, and of differences between accuracies that are not known question by question."""

from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint


def proportion_interval(correct: int, n: int, confidence: float) -> tuple[float, float]:
    """Compute the Wilson score interval of correct / n."""
    low, high = proportion_confint(correct, n, alpha=1 - confidence, method="wilson")
    # Rounding may leave a bound on the wrong side of an accuracy of 0 or 1.
    return min(float(low), correct / n), max(float(high), correct / n)


def independent_difference(ours: tuple[int, int], theirs: tuple[int, int], confidence: float) -> dict[str, float]:
    """Estimate the difference of two accuracies, each (right answers, questions), not known question by question.

    Returns:
        `difference`, and `difference_low` to `difference_high`, Newcombe's (1998) interval for independent proportions.
    """
    low, high = confint_proportions_2indep(*ours, *theirs, method="newcomb", compare="diff", alpha=1 - confidence)
    difference = ours[0] / ours[1] - theirs[0] / theirs[1]
    return {"difference": difference, "difference_low": float(low), "difference_high": float(high)}
