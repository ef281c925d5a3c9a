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
    """The Wald interval of paired differences after half a question more in each cell (Agresti and Min, 2005)."""
    ours, theirs = pair(*table)
    found = paired_difference(ours, theirs, 0.95)
    each = np.repeat([1.0, -1.0, 0.0], [table[0], table[1], table[2] + table[3]])
    assert found["difference"] == pytest.approx(each.mean()) == pytest.approx(ours.mean() - theirs.mean())
    values = np.array([1.0, -1.0, 0.0])
    weights = np.array([table[0] + 0.5, table[1] + 0.5, table[2] + table[3] + 1]) / (len(each) + 2)
    middle = (weights * values).sum()
    half = norm.ppf(0.975) * math.sqrt((weights * (values - middle) ** 2).sum() / (len(each) + 2))
    assert found["low"] == pytest.approx(max(-1, min(middle - half, each.mean())))
    assert found["high"] == pytest.approx(min(1, max(middle + half, each.mean())))
    assert found["low"] < found["high"], "no interval of questions is without width"


def test_interval_of_a_difference_covers_what_it_promises():
    n, cells = 96, [0.06, 0.03, 0.91]
    draws = np.random.default_rng(1).multinomial(n, cells, size=2000)
    found = [paired_difference(*pair(won, lost, same, 0), 0.95) for won, lost, same in draws[:400]]
    covered = np.mean([f["low"] <= cells[0] - cells[1] <= f["high"] for f in found])
    assert covered > 0.92


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


@pytest.mark.parametrize(
    ("n", "disagree", "tests"), [(1319, 330, 1), (1319, 330, 3), (96, 4, 1), (96, 4, 2), (192, 30, 4)]
)
def test_detectable_difference_is_found_four_times_out_of_five(n: int, disagree: int, tests: int):
    """By simulation with the exact test: studies in which one condition is better by just that much."""
    found = paired_difference(*pair(disagree // 2, disagree - disagree // 2, n - disagree, 0), 0.95, tests)[
        "detectable"
    ]
    rate = max(disagree / n, found)
    draws = np.random.default_rng(0).multinomial(n, [(rate + found) / 2, (rate - found) / 2, 1 - rate], size=1500)
    counted = {(won, lost): 0 for won, lost, _ in draws}
    for won, lost, _ in draws:
        counted[won, lost] += 1
    power = sum(
        count
        for (won, lost), count in counted.items()
        if won + lost and binomtest(int(won), int(won + lost), 0.5).pvalue <= 0.05 / tests
    )
    assert power / len(draws) == pytest.approx(0.8, abs=0.04)


def test_nothing_is_detectable_with_too_few_questions():
    assert math.isnan(paired_difference(*pair(1, 1, 2, 0), 0.95)["detectable"])


def test_more_tests_detect_less():
    ours, theirs = pair(10, 10, 76, 0)
    assert paired_difference(ours, theirs, 0.95, 4)["detectable"] > paired_difference(ours, theirs, 0.95)["detectable"]
