"""Variances over seeds and questions against loops, and what they are used for."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from statsmodels.stats.multitest import multipletests

from fewshot_distillation.analysis import crossed
from fewshot_distillation.analysis.bounded import Bounded
from fewshot_distillation.analysis.comparison import Answers, difference, holm, size, verdicts
from fewshot_distillation.analysis.crossed import crossed_accuracy, crossed_difference, pooled_interval, variances
from fewshot_distillation.analysis.paired import PairedDifference, paired_difference
from fewshot_distillation.analysis.statistics import proportion_interval


def answers(seeds: int, questions: int, share: float = 0.6, seed: int = 0) -> np.ndarray:
    """Answers to questions of different difficulty."""
    generator = np.random.default_rng(seed)
    return generator.random((seeds, questions)) < generator.uniform(share - 0.3, share + 0.3, questions)


def side(x: np.ndarray) -> tuple[float, float, int]:
    """Variance of seeds' accuracies and mean square of residuals, as textbooks on two-way tables have them."""
    seeds, questions = x.shape
    total = sum(x[s, q] for s in range(seeds) for q in range(questions)) / x.size
    rows, columns = [x[s].mean() for s in range(seeds)], [x[:, q].mean() for q in range(questions)]
    left = sum((x[s, q] - rows[s] - columns[q] + total) ** 2 for s in range(seeds) for q in range(questions))
    return sum((row - total) ** 2 for row in rows) / (seeds - 1), left / ((seeds - 1) * (questions - 1)), seeds


@pytest.mark.parametrize(("ours", "theirs"), [(3, 3), (5, 2), (3, 4)])
def test_standard_error_by_loops(ours: int, theirs: int):
    a, b = answers(ours, 30, 0.6, 1), answers(theirs, 30, 0.5, 2)
    a[0] |= np.arange(30) % 3 == 0  # one seed that is better than the rest
    each = [a[:, q].mean() - b[:, q].mean() for q in range(30)]
    asked = sum((x - np.mean(each)) ** 2 for x in each) / 29 / 30
    variance, uncertain = asked, asked**2 / 29
    for between, residual, seeds in (side(a), side(b)):
        beyond, total = max(between - residual / 30, 0) / seeds, between / seeds
        variance += beyond
        uncertain += (max(total, residual / 30 / seeds) if seeds == 2 else total) ** 2 / (seeds - 1)
    found = crossed_difference(a, b)
    error = found.error_at(found.value)
    assert float(found.value) == pytest.approx(np.mean(each))
    assert float(error.value) == pytest.approx(math.sqrt(variance))
    assert float(error.seeds) == pytest.approx(variance**2 / uncertain)


def test_a_base_model_adds_no_variance_of_seeds():
    """It was not trained; a condition with one seed is taken to vary as the other side does."""
    a, b = answers(4, 40, 0.6, 1), answers(1, 40, 0.5, 2)
    a[0] = True
    untrained, trained = (crossed_difference(a, b, (True, is_trained)) for is_trained in (False, True))
    between, residual, _ = side(a)
    beyond = max(between - residual / 40, 0)
    errors = [one.error_at(one.value) for one in (untrained, trained)]
    assert float(errors[1].value ** 2 - errors[0].value ** 2) == pytest.approx(beyond)
    assert errors[0].of_seeds < errors[1].of_seeds


def test_without_a_second_seed_there_is_nothing_to_say_of_seeds():
    with pytest.raises(ValueError, match="expected at least two seeds of one condition, got one of each"):
        crossed_difference(answers(1, 20), answers(1, 20, seed=1))
    assert isinstance(difference(Answers(answers(1, 20)), Answers(answers(1, 20, seed=1))), PairedDifference)


def test_conditions_that_never_disagree_have_a_width():
    a = answers(3, 50)
    for ours in (a, a[:1].repeat(3, 0)):
        low, high = crossed_difference(ours, a[:1].repeat(3, 0)).interval(0.95)
        assert low < -0.02 and high > 0.02


CERTAIN = {
    "none right": (np.zeros((3, 96), dtype=bool), np.zeros((3, 96), dtype=bool)),
    "all right": (np.ones((2, 96), dtype=bool), np.ones((2, 96), dtype=bool)),
    "the same answers": (answers(1, 96).repeat(3, 0), answers(1, 96).repeat(3, 0)),
    "against a base model": (np.zeros((3, 96), dtype=bool), np.zeros((1, 96), dtype=bool)),
    "one question": (np.zeros((3, 1), dtype=bool), np.zeros((3, 1), dtype=bool)),
}


@pytest.mark.parametrize(("ours", "theirs"), CERTAIN.values(), ids=CERTAIN)
def test_seeds_without_any_variance_are_no_more_than_one_seed(ours: np.ndarray, theirs: np.ndarray):
    several = Answers(ours), Answers(theirs, theirs.shape[0] > 1)
    one = Answers(ours[:1]), Answers(theirs[:1])
    found, single = difference(*several), difference(*one)
    assert float(found.p_value()) == float(single.p_value()) == 1
    assert float(found.equivalence_p_value(0.02)) >= float(single.equivalence_p_value(0.02))
    assert found.interval(0.95)[1] >= single.interval(0.95)[1]
    sizes = size(*several, 0.02, 0.05), size(*one, 0.02, 0.05)
    assert sizes[0].questions_needed == pytest.approx(sizes[1].questions_needed, rel=0.05)
    if ours.shape[1] > 1:
        assert sizes[0].detectable == pytest.approx(sizes[1].detectable, rel=0.1)


@pytest.mark.parametrize("true", [-0.1, 0.0, 0.02, 0.3])
def test_copies_of_one_seed_have_tango_s_statistic(true: float):
    a, b = answers(1, 60, seed=4), answers(1, 60, 0.4, seed=5)
    copies = Bounded.of(a.repeat(3, 0), b.repeat(3, 0))
    error = np.sqrt(copies.variance_of_mean(true) * 59 / 60)  # Tango divides by all questions
    assert (copies.mean - true) / error == pytest.approx(paired_difference(a[0], b[0]).score(true))


@pytest.mark.parametrize("true", [-0.4, -0.05, 0.1, 0.35])
def test_the_likeliest_distribution_by_an_optimizer(true: float):
    """Over the values that occur, -1 and 1, with a given mean."""
    found = Bounded.of(answers(2, 12, seed=6), answers(3, 12, seed=7))
    shares = found.counts / 12
    start = np.full(len(shares), 1 / len(shares))
    best = minimize(
        lambda p: -(shares[shares > 0] * np.log(np.maximum(p[shares > 0], 1e-12))).sum(),
        start,
        bounds=[(0, 1)] * len(shares),
        constraints=[
            {"type": "eq", "fun": lambda p: p.sum() - 1},
            {"type": "eq", "fun": lambda p: p @ found.points - true},
            {"type": "eq", "fun": lambda p: p[(shares == 0) & (np.abs(found.points) < 1)].sum()},
        ],
        options={"maxiter": 1000, "ftol": 1e-13},
    )
    variance = best.x @ found.points**2 - true**2
    assert best.success and float(found.variance_of_mean(true)) == pytest.approx(variance / 11, rel=1e-3)


def test_the_variance_at_the_measured_mean_is_the_usual_one():
    a, b = answers(3, 40, seed=1), answers(2, 40, 0.5, seed=2)
    each = a.mean(0) - b.mean(0)
    found = Bounded.of(a, b)
    assert float(found.mean) == pytest.approx(each.mean())
    assert float(found.variance_of_mean(found.mean)) == pytest.approx(each.var(ddof=1) / 40)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("questions", [10, 96, 1319])
def test_no_interval_contradicts_its_p_value(questions: int, confidence: float):
    """With one seed, for all numbers of disagreements; with several, for some."""
    won, lost = (x.ravel() for x in np.meshgrid(*[np.arange(min(questions, 100) + 1)] * 2))
    possible = won + lost <= questions
    one = PairedDifference(won[possible], lost[possible], questions)
    many = [crossed_difference(answers(3, questions, 0.6, s), answers(3, questions, 0.5, s + 99)) for s in range(5)]
    for found in (one, *many):
        low, high = found.interval(confidence)
        assert np.array_equal((low > 0) | (high < 0), found.p_value() < 1 - confidence)


def test_many_studies_at_once():
    a, b = (np.stack([answers(3, 25, share, s) for s in range(6)]) for share in (0.6, 0.5))
    together = crossed_difference(a, b)
    low, high = together.interval(0.95)
    for n in range(6):
        alone = crossed_difference(a[n], b[n])
        found = [alone.value, alone.p_value(), alone.equivalence_p_value(0.1), *alone.interval(0.95)]
        expected = [together.value, together.p_value(), together.equivalence_p_value(0.1), low, high]
        assert [float(x) for x in found] == pytest.approx([x[n] for x in expected])


def test_variances_add_up_to_the_error():
    a, b = answers(5, 200, 0.6, 1), answers(4, 200, 0.5, 2)
    a[0] |= np.arange(200) % 4 == 0
    parts = variances(a, b)
    rebuilt = (parts.question + parts.residual[0] / 5 + parts.residual[1] / 4) / 200 + parts.seed[0] / 5
    rebuilt += parts.seed[1] / 4
    found = crossed_difference(a, b)
    assert float(found.error_at(found.value).value ** 2) == pytest.approx(rebuilt)


def test_power_rises_with_effect_questions_and_seeds():
    parts = crossed.Variances(0.02, (0.15, 0.15), (0.0001, 0.0001))
    power = [crossed.power(effect, parts, (3, 3), 500, 0.05) for effect in (0.0, 0.02, 0.04, 0.08)]
    assert power == sorted(power) and power[0] < 0.05 < 0.5 < power[-1]
    least = crossed.detectable(parts, (3, 3), 500, 0.05)
    assert crossed.power(least, parts, (3, 3), 500, 0.05) == pytest.approx(0.8, abs=1e-3)
    assert crossed.detectable(parts, (5, 5), 500, 0.05) < least < crossed.detectable(parts, (3, 3), 500, 0.01)
    needed = crossed.questions_needed(least, parts, (3, 3), 0.05)
    assert needed == pytest.approx(500, rel=0.02)
    assert crossed.seeds_needed(1.001 * least, parts, 500, 0.05) == 3


def test_some_differences_no_number_of_questions_finds():
    """Where seeds vary by more than the difference, other questions don't help."""
    parts = crossed.Variances(0.02, (0.15, 0.15), (0.01, 0.01))
    assert crossed.questions_needed(0.02, parts, (3, 3), 0.05) is None
    assert crossed.seeds_needed(0.02, parts, 2000, 0.05) > 100


def test_size_with_one_seed_knows_nothing_of_seeds():
    ours, theirs = Answers(answers(1, 300, seed=1)), Answers(answers(1, 300, seed=2))
    found = size(ours, theirs, 0.02, 0.05)
    assert 0.02 < found.detectable < 0.2 and found.questions_needed > 300 and found.seeds_needed is None


def test_pooled_interval():
    right = answers(4, 60, seed=3)
    low, high = pooled_interval(right, 0.95)
    assert low < right.mean() < high and high - low < np.subtract(*proportion_interval(*_first(right), 0.95)[::-1])
    assert pooled_interval(right[:1], 0.95) == proportion_interval(*_first(right), 0.95)
    # Seeds that answer alike are no more answers than one seed gives.
    alike = right[:1].repeat(4, 0)
    assert np.subtract(*pooled_interval(alike, 0.95)[::-1]) == pytest.approx(
        np.subtract(*proportion_interval(*_first(right), 0.95)[::-1]), rel=0.03
    )
    none = np.zeros((3, 20), dtype=bool)
    assert pooled_interval(none, 0.95) == proportion_interval(0, 20, 0.95)
    assert crossed_accuracy(none).value > 0


def _first(right: np.ndarray) -> tuple[int, int]:
    return int(right[0].sum()), right.shape[1]


def test_words():
    """A difference comes before an equivalence; Holm's correction is that of each kind of test."""
    values, p = np.array([0.05, -0.05, 0.001, 0.01]), np.array([0.001, 0.012, 0.9, 0.5])
    found = verdicts(values, p, np.array([0.9, 0.9, 0.01, 0.2]), 0.95)
    assert list(found.words) == ["better", "worse", "equivalent", "not distinguishable"]
    assert list(found.p_corrected) == pytest.approx([0.004, 0.036, 1.0, 1.0])
    assert found.equivalence_p_corrected[2] == pytest.approx(0.04)
    assert list(verdicts(values, p, np.ones(4), 0.99).words) == ["better", *["not distinguishable"] * 3]


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(0).beta(0.3, 2, size=(8, 6))
    expected = [multipletests(family, method="holm")[1] for family in p]  # each call collects garbage
    np.testing.assert_allclose(holm(p), expected, rtol=1e-12)
