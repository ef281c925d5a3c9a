"""Tasks: what a row becomes, which rows are refused, and that every task is complete."""

import random
import re

import pytest

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.load import load
from fewshot_distillation.data.arithmetic_choices import arithmetic_choices
from fewshot_distillation.data.datasets import check_disjoint, written_rows
from fewshot_distillation.tasks import TASKS, task_of
from fewshot_distillation.tasks.rules.letters import flexible, strict
from tiny import edited

CHOICE = task_of("multiple_choice")
ROW = {"question": "What is 2 + 2?", "choices": ["3", "4", "5"], "answer": "B"}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_complete(name: str):
    """Every scorer that a task names exists, and every task has those that a configuration asks for by default."""
    task = task_of(name)
    assert {"strict", "flexible"} <= set(task.scorers) and len(task.columns) >= 2
    for scorer in task.scorers.values():
        assert scorer.rule().read("") is None
        assert scorer.right and not scorer.right.endswith(".")


# Tasks whose rows a generator writes.
GENERATORS = {"gsm8k": "word_problems", "multiple_choice": "arithmetic_choices"}


@pytest.mark.parametrize(("name", "generator"), GENERATORS.items(), ids=GENERATORS)
def test_every_scorer_reads_the_task_s_own_answers(name: str, generator: str):
    module = __import__(f"fewshot_distillation.data.{generator}", fromlist=[generator])
    task = task_of(name)
    for source in getattr(module, generator)(40, 1, 3)["train"]:
        row = task.example(source)
        for scorer in task.scorers.values():
            rule = scorer.rule()
            found = rule.read(row["answer"])
            assert rule.equal(found, row) if rule.equal else task.equal(found, row["reference"])


def test_a_row_of_gsm8k_stays_as_it_is():
    row = {"question": "How many?", "answer": "It is 1,000.\n#### 1,000", "id": 3}
    assert task_of("gsm8k").example(row) == {
        "question": "How many?",
        "answer": "It is 1,000.\n#### 1,000",
        "reference": "1000",
    }


def test_equal_numbers_are_equal_however_they_are_written():
    equal = task_of("gsm8k").equal
    assert equal("0.5", "1/2") and equal("1000", "1000.0") and not equal("0.33", "1/3")


ANSWERS = {
    "letter": ("B", "B"),
    "small letter": ("b", "B"),
    "position": (0, "A"),
    "text of a choice": ("5", "C"),
    "spaces": (" C ", "C"),
}


@pytest.mark.parametrize(("answer", "letter"), ANSWERS.values(), ids=ANSWERS)
def test_answers_of_a_choice(answer, letter: str):
    found = CHOICE.example(ROW | {"answer": answer, "explanation": "2 + 2 = 4."})
    assert found == {
        "question": "What is 2 + 2?\nA. 3\nB. 4\nC. 5",
        "answer": f"2 + 2 = 4.\nAnswer: {letter}",
        "reference": letter,
    }


def test_choices_as_in_arc():
    """Texts and labels in two lists; labels may be numbers, and the question shows letters in any case."""
    row = ROW | {"choices": {"text": ["3", "4"], "label": ["1", "2"]}, "answer": "2"}
    assert CHOICE.example(row)["reference"] == "B"
    assert CHOICE.example(row)["question"].endswith("\nB. 4")


BAD = {
    "no choices": ({"choices": []}, "the row has no 'choices'; a row needs 'question', 'choices' and 'answer'"),
    "one choice": ({"choices": ["3"]}, "'choices' has 1 entries, but must have 2 to 26"),
    "numbers": ({"choices": [3, 4]}, "'choices' must be a list of texts"),
    "too few labels": ({"choices": {"text": ["3", "4"], "label": ["A"]}}, "must be a list of as many texts"),
    "letter too high": ({"answer": "D"}, r"'answer' is 'D', but must be the label of one of the 3 choices \(A, B, C\)"),
    "position too high": ({"answer": 3}, "'answer' is 3, but .* a number from 0 to 2"),
    "true": ({"answer": True}, "'answer' is True"),
    "ambiguous text": ({"choices": ["x", "x"], "answer": "x"}, "'answer' is 'x'"),
    "question is a list": ({"question": ["What?"]}, "'question' is a list"),
    "explanation is a number": ({"explanation": 4}, "'explanation' is a number"),
}


@pytest.mark.parametrize(("changes", "problem"), BAD.values(), ids=BAD)
def test_bad_rows_of_choices(changes: dict, problem: str):
    with pytest.raises(ValueError, match=problem):
        CHOICE.example(ROW | changes)


LETTERS = {
    "plain": ("Answer: B", "B", "B"),
    "after the steps": ("2 + 2 = 4.\nAnswer: B", "B", "B"),
    "bold": ("**Answer: B**", "B", "B"),
    "bold letter": ("Answer: **(B)**.", "B", "B"),
    "with the text": ("Answer: B. 4", "B", "B"),
    "with the reason": ("Answer: A because it fits", "A", "A"),
    "word that looks like a letter": ("Answer: I think it is (B)", None, "B"),
    "corrected": ("Answer: A\nNo.\nAnswer: B", "B", "B"),
    "sentence": ("The answer is (C).", None, "C"),
    "option": ("So the answer is option C.", None, "C"),
    "LaTeX": (r"Hence \boxed{\text{C}}", None, "C"),
    "only a letter": ("B", None, "B"),
    "letter and text": ("B. 4", None, "B"),
    "last in parentheses": ("(A) is wrong, (B) is right", None, "B"),
    "the model's own next question": ("Answer: B\n\nQuestion: 3 + 4?\nAnswer: C", "B", "B"),
    "a word": ("Answer: Both", None, None),
    "no letter": ("It is four.", None, None),
    "small letter": ("It is b", None, None),
}


@pytest.mark.parametrize(("text", "marked", "lenient"), LETTERS.values(), ids=LETTERS)
def test_letters(text: str, marked: str | None, lenient: str | None):
    assert (strict(text), flexible(text)) == (marked, lenient)


def test_generated_choices():
    """The arithmetic is right, the right choice is there once, and no letter is right more often than others."""
    rows = arithmetic_choices(1500, 500, seed=1)
    right = []
    for row in rows["train"] + rows["test"]:
        expression = re.fullmatch(r"What is ([-+* \d]+)\?", row["question"])[1]
        result = eval(expression)  # noqa: S307 (digits and operators, as the pattern says)
        assert row["explanation"].endswith(f"= {result}.")
        assert row["choices"]["ABCD".index(row["answer"])] == str(result) and len(set(row["choices"])) == 4
        right.append(row["answer"])
    assert all(400 < right.count(letter) < 600 for letter in "ABCD")
    written = {split: written_rows(CHOICE, ((split, row) for row in part))[0] for split, part in rows.items()}
    check_disjoint(written["train"], written["test"])


def test_no_sum_of_choices_is_in_both_splits():
    rows = arithmetic_choices(1500, 500, seed=1)
    train, test = ({tuple(sorted(row["question"][8:-1].split())) for row in rows[split]} for split in ("train", "test"))
    assert not train & test


def test_choices_are_drawn_from_their_own_generator_only():
    random.seed(1)
    first = arithmetic_choices(20, 5, 0)
    random.seed(2)
    assert arithmetic_choices(20, 5, 0) == first == arithmetic_choices(30, 5, 0) | {"train": first["train"]}


WRONG = {
    "unknown scorer": ({"scorers": ["strict", "flexibel"]}, "no scorer 'flexibel'; did you mean 'flexible'?"),
    "metric that isn't scored": ({"scorers": ["strict"], "metric": "flexible"}, "'flexible' is not among the scorers"),
    "repeated": ({"scorers": ["strict", "strict"]}, "scorers must not repeat"),
    "unknown task": ({"datasets__problems__task": "gsm8"}, "datasets.problems.task: .*'gsm8k'.*'multiple_choice'"),
    "generator of another task": ({"datasets__problems__task": "multiple_choice"}, "set task: gsm8k"),
    "nothing to strip": (
        {
            "datasets__problems": {
                "source": {"generator": "arithmetic_choices"},
                "task": "multiple_choice",
                "calculation_annotations": "strip",
            }
        },
        "rows of the task multiple_choice have none to strip",
    ),
}


@pytest.mark.parametrize(("changes", "problem"), WRONG.values(), ids=WRONG)
def test_wrong_settings(changes: dict, problem: str):
    with pytest.raises(ConfigError, match=problem):
        load(edited(**changes))
