"""Generated word problems: format, arithmetic, and splits that don't depend on each other's size."""

import functools
import inspect
import itertools
import random
import re
from decimal import Decimal

import pytest

from fewshot_distillation.data.datasets import check_disjoint
from fewshot_distillation.data.rows import same_question
from fewshot_distillation.data.word_problems import ITEMS, NAMES, TEMPLATES, word_problems
from fewshot_distillation.tasks import task_of

ALL = [template for templates in TEMPLATES.values() for template in templates]
SUM = re.compile(r"((?:\d+ [-+*/] )+\d+) = (\d+)")


def value_of(expression: str) -> Decimal:
    """A chain of numbers and operators from left to right, multiplication and division first."""
    parts = expression.split()
    terms, sign = [Decimal(parts[0])], []
    for operator, text in zip(parts[1::2], parts[2::2], strict=True):
        number = Decimal(text)
        if operator == "*":
            terms[-1] *= number
        elif operator == "/":
            terms[-1] /= number
        else:
            sign.append(1 if operator == "+" else -1)
            terms.append(number)
    return terms[0] + sum(s * t for s, t in zip(sign, terms[1:], strict=True))


def test_rows_have_the_format_of_gsm8k():
    for row in word_problems(200, 0, seed=0)["train"]:
        *steps, last = row["answer"].split("\n")
        assert set(row) == {"question", "answer"} and 1 <= len(steps) <= 3
        assert re.fullmatch(r"#### \d+", last)
        assert row["question"].endswith("?")


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.__name__)
def test_arithmetic_of_every_template_is_right(template):
    """Every `a op b = c` holds, and the last one is the answer."""
    for seed in range(60):
        _, steps, result = template(random.Random(seed), "Ann", "Ben", "coins")
        assert result > 0
        found = [SUM.search(step) for step in steps]
        assert all(found), steps
        for match in found:
            assert value_of(match[1]) == Decimal(match[2]), steps
        assert Decimal(found[-1][2]) == result


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.__name__)
def test_later_steps_use_earlier_results_or_numbers_of_the_question(template):
    question, steps, _ = template(random.Random(5), "Ann", "Ben", "coins")
    known = set(re.findall(r"\d+", question)) | {"2"}  # "twice", "there and back"
    for step in steps:
        match = SUM.search(step)
        numbers = re.findall(r"\d+", match[1])
        assert set(numbers) <= known, f"{step!r} uses a number that nobody has mentioned; known: {known}"
        known.add(match[2])


def test_at_least_twelve_templates_of_one_to_three_steps():
    assert set(TEMPLATES) == {1, 2, 3} and len(set(ALL)) == len(ALL) >= 12
    for count, templates in TEMPLATES.items():
        for template in templates:
            assert len(template(random.Random(0), "Ann", "Ben", "coins")[1]) == count, template.__name__


def test_every_template_occurs(monkeypatch: pytest.MonkeyPatch):
    """A template that is never drawn would be dead weight."""
    drawn = set()

    def noted(template):
        @functools.wraps(template)
        def call(*arguments):
            drawn.add(template)
            return template(*arguments)

        return call

    module = inspect.getmodule(word_problems)
    monkeypatch.setattr(module, "TEMPLATES", {n: tuple(map(noted, ts)) for n, ts in TEMPLATES.items()})
    word_problems(400, 1, 1)
    assert drawn == set(ALL)


def test_splits_are_disjoint_and_without_repetition():
    rows = word_problems(1500, 500, seed=3)
    assert len({same_question(r["question"]) for part in rows.values() for r in part}) == 2000
    check_disjoint(rows["train"], rows["test"])


def test_no_sum_is_in_both_splits():
    """Other names and things make another question, but not another sum; the test may not be answered from memory."""
    words = re.compile(rf"\b({'|'.join([*NAMES, *ITEMS])})\b")
    rows = word_problems(1500, 500, seed=3)
    train, test = ({words.sub("_", row["question"]) for row in rows[split]} for split in ("train", "test"))
    assert not train & test and len(test) > 150


@pytest.mark.parametrize(("train", "test"), [(24, 10), (152, 96), (256, 192)])
def test_both_splits_have_the_same_shares_of_steps_and_templates(train: int, test: int):
    """To within one problem; chance alone gave 49 % of one-step problems in one split and 59 % in the other."""
    module = inspect.getmodule(word_problems)
    for split, rows in word_problems(train, test, 0).items():
        steps = [row["answer"].count("\n") for row in rows]
        for number, weight in module.WEIGHTS.items():
            assert abs(steps.count(number) - weight * len(rows)) <= 1, (split, number)
    for seed in range(20):
        drawn = list(itertools.islice(module._templates(random.Random(seed)), train))
        for number, templates in TEMPLATES.items():
            counts = [drawn.count(template) for template in templates]
            assert max(counts) - min(counts) <= 1, (seed, number)


def test_the_seed_decides_everything():
    assert word_problems(20, 10, 1) == word_problems(20, 10, 1)
    assert word_problems(20, 10, 1)["test"] != word_problems(20, 10, 2)["test"]


def test_test_split_stays_when_the_training_split_grows():
    small, large = word_problems(10, 30, 4), word_problems(300, 30, 4)
    assert small["test"] == large["test"] and small["train"] == large["train"][:10]


def test_answers_have_a_reference():
    for row in word_problems(100, 0, 9)["train"]:
        assert task_of("gsm8k").reference(row) == row["answer"].rpartition("#### ")[2]


def test_templates_draw_from_their_own_generator_only():
    """A template that used the module's generator would make the data depend on whatever ran before."""
    random.seed(1)
    first = word_problems(30, 5, 0)
    random.seed(2)
    assert word_problems(30, 5, 0) == first
