"""Intervals and paired tests against closed formulas and brute force."""

import math
from itertools import product

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import xlogy
from scipy.stats import binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar

from fewshot_distillation.analysis.paired import (
    PairedDifference,
    detectable_difference,
    mcnemar_power,
    mcnemar_questions,
    paired_difference,
)
from fewshot_distillation.analysis.statistics import proportion_interval


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


def score(won: int, lost: int, n: int, difference: float) -> float:
    """Tango's statistic with the likeliest cells found by search instead of by formula."""

    def surprise(loss: float) -> float:
        cells = np.array([loss + difference, loss, 1 - 2 * loss - difference])
        return -float(xlogy([won, lost, n - won - lost], np.maximum(cells, 1e-300)).sum())

    low, high = max(0.0, -difference), (1 - difference) / 2
    loss = minimize_scalar(surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    loss = min((low, loss, high), key=surprise)
    return (won - lost - n * difference) / math.sqrt(n * (2 * loss + difference - difference**2))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("difference", [-0.3, -0.02, 0.05, 0.4])
def test_score_is_that_of_the_likeliest_cells(table: tuple[int, int, int, int], difference: float):
    found = paired_difference(*pair(*table)).score(difference)
    assert found == pytest.approx(score(*table[:2], sum(table), difference), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("table", TABLES)
def test_interval_holds_what_either_test_does_not_reject(table: tuple[int, int, int, int]):
    """The score statistic, or the exact test of the share won among the disagreements where that reaches farther."""
    found = paired_difference(*pair(*table))
    low, high = found.interval(0.95)
    assert low < found.value < high or abs(found.value) == 1, "no interval of questions is without width"
    apart = int(found.won + found.lost)
    shares = binomtest(int(found.won), apart).proportion_ci(0.95, "exact") if apart else (0.5, 0.5)
    exact = [(2 * share - 1) * apart / found.questions for share in shares]
    z = norm.ppf(0.975)
    for bound, sign, other in ((low, 1, exact[0]), (high, -1, exact[1])):
        assert sign * bound <= sign * other + 1e-9
        if abs(bound) < 1 and bound != pytest.approx(other):
            assert found.score(float(bound)) == pytest.approx(sign * z, abs=1e-4)


def test_interval_of_a_difference_covers_what_it_promises():
    """Where conditions rarely disagree, and where one of them never loses."""
    generator = np.random.default_rng(1)
    for n, cells in ((96, [0.06, 0.03, 0.91]), (300, [0.15, 0.1, 0.75]), (96, [0.05, 0.0, 0.95])):
        draws = generator.multinomial(n, cells, size=4000)
        low, high = PairedDifference(draws[:, 0], draws[:, 1], n).interval(0.95)
        covered = np.mean((low <= cells[0] - cells[1]) & (cells[0] - cells[1] <= high))
        assert covered > 0.95 - 0.015, (n, cells)


@pytest.mark.parametrize("table", TABLES)
def test_exact_mcnemar(table: tuple[int, int, int, int]):
    won, lost, both, neither = table
    expected = mcnemar([[both, won], [lost, neither]], exact=True).pvalue
    assert paired_difference(*pair(*table)).p_value() == pytest.approx(expected)


def test_mcnemar_by_brute_force():
    """All ways in which five disagreements may fall, as likely as heads and tails."""
    ways = [sum(way) for way in product((0, 1), repeat=5)]
    extreme = sum(1 for won in ways if abs(won - 2.5) >= abs(4 - 2.5)) / len(ways)
    assert paired_difference(*pair(4, 1, 10, 10)).p_value() == pytest.approx(extreme)


def test_swapping_the_conditions_turns_the_sign():
    ours, theirs = pair(9, 2, 40, 49)
    one, other = paired_difference(ours, theirs), paired_difference(theirs, ours)
    assert one.value == -other.value and one.interval(0.95) == pytest.approx([-x for x in other.interval(0.95)][::-1])
    assert one.p_value() == other.p_value() and one.equivalence_p_value(0.1) == other.equivalence_p_value(0.1)


def test_many_studies_at_once():
    generator = np.random.default_rng(2)
    ours, theirs = generator.random((2, 7, 60)) < 0.6
    together = paired_difference(ours, theirs)
    for n in range(7):
        alone = paired_difference(ours[n], theirs[n])
        assert together.p_value()[n] == alone.p_value()
        assert [bound[n] for bound in together.interval(0.9)] == pytest.approx([*map(float, alone.interval(0.9))])


@pytest.mark.parametrize(("n", "rate", "tests"), [(1319, 0.25, 1), (1319, 0.25, 3), (96, 0.04, 2), (192, 0.16, 4)])
def test_detectable_difference_is_found_four_times_out_of_five(n: int, rate: float, tests: int):
    """By simulation with the exact test: studies in which one condition is better by just that much."""
    found = detectable_difference(rate, n, 0.05 / tests)
    disagree = max(rate, found)
    cells = [(disagree + found) / 2, (disagree - found) / 2, 1 - disagree]
    draws = np.random.default_rng(0).multinomial(n, cells, size=20_000)
    significant = PairedDifference(draws[:, 0], draws[:, 1], n).p_value() <= 0.05 / tests
    assert significant.mean() == pytest.approx(0.8, abs=0.03)
    assert detectable_difference(rate, n, 0.05 / tests / 2) > found, "more tests find less"


def test_nothing_is_detectable_with_too_few_questions():
    assert math.isnan(detectable_difference(0.5, 4, 0.05))


def test_questions_needed_are_just_enough():
    needed = mcnemar_questions(0.05, 0.2, 0.05)
    assert mcnemar_power(0.05, 0.2, needed, 0.05) >= 0.8
    assert mcnemar_power(0.05, 0.2, round(0.97 * needed), 0.05) < 0.8
