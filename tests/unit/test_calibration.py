"""Simulated studies through the code that judges real ones: how often verdicts are wrong, and effects found.

A question has its own difficulty, which each condition shifts a little, a seed shifts all answers of its model, and the
rest is chance. Conditions of an A/A study have the same expected accuracy.
"""

import numpy as np
import pytest
from scipy.stats import binom

from fewshot_distillation.analysis import crossed
from fewshot_distillation.analysis.comparison import BETTER, EQUIVALENT, WORSE, Answers, difference, verdicts
from fewshot_distillation.analysis.crossed import pooled_interval, variances

# Thousands of studies take minutes.
pytestmark = pytest.mark.slow

LEVEL = 0.05
STUDIES = 800


class World:
    """Where studies come from: standard deviations of seeds and of conditions' own effects on questions."""

    def __init__(self, seed_sd: float, question_sd: float = 0.08, spread: float = 0.2, random: int = 0) -> None:
        self.seed_sd, self.question_sd, self.spread = seed_sd, question_sd, spread
        self.random = np.random.default_rng(random)

    def difficulties(self, studies: int, questions: int) -> np.ndarray:
        return self.random.uniform(0.5 - self.spread, 0.5 + self.spread, (studies, 1, questions))

    def answers(self, difficulties: np.ndarray, seeds: int, gain: float = 0.0) -> np.ndarray:
        """Right answers of one condition, (studies, seeds, questions)."""
        studies, _, questions = difficulties.shape
        # Bounded effects keep every probability inside 0 to 1, so the expected gain is exact.
        own = self.random.uniform(-1, 1, (studies, 1, questions)) * self.question_sd * np.sqrt(3)
        shift = self.random.normal(0, self.seed_sd, (studies, seeds, 1)) if self.seed_sd else 0.0
        share = difficulties + own + shift + gain
        assert np.mean((share < 0) | (share > 1)) < 1e-3
        return self.random.random((studies, seeds, questions)) < share


def judged(ours: list[np.ndarray], theirs: np.ndarray, margin: float = 0.02) -> np.ndarray:
    """Verdicts, (studies, comparisons), of conditions against the same one as one family."""
    found = [difference(Answers(side), Answers(theirs)) for side in ours]
    values, p = (np.stack(each, 1) for each in ([f.value for f in found], [f.p_value() for f in found]))
    equivalence = np.stack([f.equivalence_p_value(margin) for f in found], 1)
    return verdicts(values, p, equivalence, 1 - LEVEL).words


def different(words: np.ndarray) -> np.ndarray:
    """Whether a study calls any of its comparisons different."""
    return np.isin(words, (BETTER, WORSE)).any(1)


def at_most(found: np.ndarray, share: float = LEVEL) -> bool:
    """Whether so many of these studies are no more than a share of all, within the simulation's own 95 % interval."""
    return found.sum() <= binom.ppf(0.975, len(found), share)


@pytest.mark.parametrize("questions", [96, 400])
def test_one_seed_and_no_effect(questions: int):
    world = World(0.0)
    q = world.difficulties(STUDIES, questions)
    assert at_most(different(judged([world.answers(q, 1)], world.answers(q, 1))))


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("seed_sd", [0.0, 0.02, 0.06])
@pytest.mark.parametrize("questions", [96, 400])
def test_several_seeds_and_no_effect(seeds: int, seed_sd: float, questions: int):
    world = World(seed_sd)
    q = world.difficulties(STUDIES, questions)
    assert at_most(different(judged([world.answers(q, seeds)], world.answers(q, seeds))))


def test_one_seed_says_nothing_of_other_seeds():
    """A verdict on two models is wrong about their conditions where seeds differ, and the text of one seed says so."""
    world = World(0.06)
    q = world.difficulties(STUDIES, 400)
    assert not at_most(different(judged([world.answers(q, 1)], world.answers(q, 1))), 0.2)


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (2, 0.06), (3, 0.02), (3, 0.06), (5, 0.03)])
def test_families_and_no_effect(seeds: int, seed_sd: float):
    """Four conditions against the same one: no study may call any of them different in more than 5 %."""
    world = World(seed_sd)
    q = world.difficulties(STUDIES, 200)
    theirs = world.answers(q, seeds)
    assert at_most(different(judged([world.answers(q, seeds) for _ in range(4)], theirs)))


def chosen(world: World, seeds: int, runs: int, questions: int, on_validation: bool) -> np.ndarray:
    """Each seed's best of so many equal checkpoints, or weights, by validation or by the test questions themselves."""
    validation, q = (world.difficulties(STUDIES, n) for n in (100, questions))
    tested = np.stack([world.answers(q, seeds) for _ in range(runs)])
    seen = np.stack([world.answers(validation, seeds) for _ in range(runs)]) if on_validation else tested
    best = seen.mean(-1).argmax(0)
    return np.take_along_axis(tested, best[None, :, :, None], 0)[0], q


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (3, 0.02)])
def test_chosen_on_validation_and_no_effect(seeds: int, seed_sd: float):
    """A sweep over twelve checkpoints and weights whose best is compared; the reference is chosen among fewer."""
    world = World(seed_sd)
    ours, q = chosen(world, seeds, 12, 200, on_validation=True)
    assert at_most(different(judged([ours], world.answers(q, seeds))))


def test_chosen_on_test_questions_would_be_wrong():
    """What validation is for, and that this simulation would notice."""
    world = World(0.0)
    ours, q = chosen(world, 1, 12, 200, on_validation=False)
    assert not at_most(different(judged([ours], world.answers(q, 1))), 0.1)


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "questions", "tests"),
    [(2, 0.0, 400, 1), (3, 0.0, 400, 1), (3, 0.02, 300, 3), (5, 0.02, 200, 3), (5, 0.0, 600, 1)],
)
def test_effects_are_found_at_the_stated_power(seeds: int, seed_sd: float, questions: int, tests: int):
    """An effect of the size called detectable, among conditions without any, in 80 % within 3 points."""
    world = World(seed_sd, random=1)
    pilot = world.difficulties(1, 40_000)
    parts = variances(*(world.answers(pilot, 60)[0] for _ in range(2)))
    parts = parts._replace(seed=(seed_sd**2, seed_sd**2))
    effect = crossed.detectable(parts, (seeds, seeds), questions, LEVEL / tests)
    q = world.difficulties(4000, questions)
    theirs = world.answers(q, seeds)
    ours = [world.answers(q, seeds, gain) for gain in [effect, *[0.0] * (tests - 1)]]
    found = judged(ours, theirs)[:, 0] == BETTER
    assert found.mean() == pytest.approx(crossed.POWER, abs=0.03)


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "questions"), [(1, 0.0, 400), (2, 0.02, 400), (3, 0.03, 400), (5, 0.0, 96)]
)
def test_equivalence_is_rarely_claimed_wrongly(seeds: int, seed_sd: float, questions: int):
    """Two conditions that differ by just the margin."""
    for margin, sign in ((0.1, 1), (0.05, -1)):
        world = World(seed_sd)
        q = world.difficulties(STUDIES, questions)
        words = judged([world.answers(q, seeds, sign * margin)], world.answers(q, seeds), margin)
        assert at_most(words[:, 0] == EQUIVALENT)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize(("questions", "margin"), [(40, 0.02), (96, 0.02), (96, 0.05), (200, 0.02), (400, 0.02)])
def test_equivalence_of_seeds_that_answer_alike(seeds: int, questions: int, margin: float):
    """Copies of one seed are no more evidence than it is: ours is right on so many questions more, in every seed."""
    random = np.random.default_rng(2)
    shape = (STUDIES, 1, questions)
    known, gained = random.random(shape) < 0.5, random.random(shape) < margin
    ours, theirs = (np.repeat(x, seeds, 1) for x in (known | gained, known & ~gained))
    assert at_most(judged([ours], theirs, margin)[:, 0] == EQUIVALENT)


@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
@pytest.mark.parametrize("questions", [96, 400])
def test_equivalence_where_most_questions_are_out_of_reach(seeds: int, questions: int):
    random = np.random.default_rng(3)
    reached = random.random((STUDIES, 1, questions)) < 0.06
    ours, theirs = (random.random((STUDIES, seeds, questions)) < reached * p for p in (0.5, 0.5 - 0.02 / 0.06))
    assert at_most(judged([ours], theirs)[:, 0] == EQUIVALENT)


@pytest.mark.parametrize(("seeds", "seed_sd"), [(2, 0.05), (3, 0.0), (3, 0.02), (3, 0.05), (5, 0.03)])
def test_a_base_model_and_no_effect(seeds: int, seed_sd: float):
    """Seeds of one side alone, and as many questions as let them be most of the variance."""
    world = World(seed_sd)
    q = world.difficulties(STUDIES, 600)
    base = World(0.0, random=1).answers(q, 1)
    found = difference(Answers(world.answers(q, seeds)), Answers(base, trained=False))
    assert at_most(found.p_value() < LEVEL)


@pytest.mark.parametrize("seeds", [1, 3])
def test_equal_conditions_are_called_equivalent(seeds: int):
    """With questions enough the word is said, so the tests above are of something."""
    world = World(0.0, question_sd=0.02)
    q = world.difficulties(200, 3000)
    words = judged([world.answers(q, seeds)], world.answers(q, seeds), 0.05)
    assert np.mean(words == EQUIVALENT) > 0.8


@pytest.mark.parametrize(("seeds", "seed_sd"), [(2, 0.02), (3, 0.0), (3, 0.06), (5, 0.03)])
def test_intervals_cover(seeds: int, seed_sd: float):
    """Those of differences, and those of pooled accuracies."""
    world = World(seed_sd)
    q = world.difficulties(STUDIES, 150)
    ours, theirs = world.answers(q, seeds, 0.05), world.answers(q, seeds)
    low, high = difference(Answers(ours), Answers(theirs)).interval(0.95)
    assert at_most((low > 0.05) | (high < 0.05))
    bounds = np.array([pooled_interval(one, 0.95) for one in theirs[:800]])
    assert at_most((bounds[:, 0] > 0.5) | (bounds[:, 1] < 0.5))
