"""Intervals and paired tests against closed formulas and brute force."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from fewshot_distillation.analysis.statistics import paired_difference, proportion_interval


def wilson(k: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson (1927), as it stands in textbooks."""
    z, p = norm.ppf(0.5 + confidence / 2), k / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return middle - half, middle + half


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 10), (660, 1319), (1, 1)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson(k: int, n: int, confidence: float):
    low, high = proportion_interval(k, n, confidence)
    assert (low, high) == pytest.approx(wilson(k, n, confidence), abs=1e-12)
    assert -1e-12 <= low <= k / n <= high + 1e-12 <= 1 + 1e-9


def test_wilson_covers_what_it_promises():
    """Over all outcomes of 60 questions with a true accuracy of 0.3."""
    outcomes = [math.comb(60, k) * 0.3**k * 0.7 ** (60 - k) for k in range(61)]
    inside = [low <= 0.3 <= high for low, high in (proportion_interval(k, 60, 0.95) for k in range(61))]
    assert sum(p for p, covered in zip(outcomes, inside, strict=True) if covered) == pytest.approx(0.95, abs=0.02)


def pair(won: int, lost: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Answers of two conditions: right only here, only there, in both, in neither."""
    counts = [won, lost, both, neither]
    ours = np.repeat([True, False, True, False], counts)
    theirs = np.repeat([False, True, True, False], counts)
    return ours, theirs


TABLES = [(9, 2, 40, 49), (0, 0, 5, 5), (5, 5, 10, 0), (1, 0, 0, 0), (30, 60, 300, 200)]


@pytest.mark.parametrize("table", TABLES)
def test_difference_and_interval(table: tuple[int, int, int, int]):
    """The variance of a mean of paired differences, computed from the differences themselves."""
    ours, theirs = pair(*table)
    found = paired_difference(ours, theirs, 0.95)
    each = ours.astype(float) - theirs.astype(float)
    error = each.std() / math.sqrt(len(each))
    assert found["difference"] == pytest.approx(each.mean()) == pytest.approx(ours.mean() - theirs.mean())
    assert found["high"] - found["difference"] == pytest.approx(1.959964 * error, abs=1e-6)
    assert found["difference"] - found["low"] == pytest.approx(1.959964 * error, abs=1e-6)


@pytest.mark.parametrize("table", TABLES)
def test_exact_mcnemar(table: tuple[int, int, int, int]):
    won, lost = table[:2]
    expected = binomtest(won, won + lost, 0.5).pvalue if won + lost else 1.0
    assert paired_difference(*pair(*table), 0.95)["p_value"] == pytest.approx(expected)


def test_mcnemar_by_brute_force():
    """All ways in which five disagreements may fall, as likely as heads and tails."""
    ways = [sum(way) for way in product((0, 1), repeat=5)]
    extreme = sum(1 for won in ways if abs(won - 2.5) >= abs(4 - 2.5)) / len(ways)
    assert paired_difference(*pair(4, 1, 10, 10), 0.95)["p_value"] == pytest.approx(extreme)


def test_swapping_the_conditions_turns_the_sign():
    ours, theirs = pair(9, 2, 40, 49)
    one, other = paired_difference(ours, theirs, 0.95), paired_difference(theirs, ours, 0.95)
    assert one["difference"] == -other["difference"] and one["low"] == pytest.approx(-other["high"])
    assert one["p_value"] == other["p_value"] and one["detectable"] == other["detectable"]


def test_detectable_difference_is_found_four_times_out_of_five():
    """By simulation: studies in which one condition is better by just that much."""
    n, discordant = 1319, 0.25
    won = round(n * discordant / 2)
    detectable = paired_difference(*pair(won, won, 700, n - 700 - 2 * won), 0.95)["detectable"]
    draws = np.random.default_rng(0).multinomial(
        n, [(discordant + detectable) / 2, (discordant - detectable) / 2, 1 - discordant], size=4000
    )
    z = (draws[:, 0] - draws[:, 1]) / np.sqrt(draws[:, 0] + draws[:, 1])
    assert (z > norm.ppf(0.975)).mean() == pytest.approx(0.8, abs=0.03)
    assert detectable == pytest.approx(0.0386, abs=0.001)
