"""Demonstrations: which rows are drawn, and how controls change them."""

import random

import pytest

from fewshot_distillation.config.conditions import Teacher
from fewshot_distillation.data.demonstrations import PIECE, Demonstrations
from fewshot_distillation.data.rows import same_question
from fewshot_distillation.data.selection import chosen_rows, drawn_questions, labelled_rows, subset, validation_rows
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.errors import JobError

ROWS = word_problems(20, 1, seed=2)["train"]
QUESTION = "Ann has 3 coins. How many coins does Ann have?"


def demonstrations(rows: list[dict], shots: int, policy: str, seed: int, **other) -> Demonstrations:
    labelled = other.pop("labelled", None)
    return Demonstrations(rows, Teacher(shots=shots, demonstrations=policy, seed=seed, **other), labelled)


@pytest.mark.parametrize("policy", ["per_example", "fixed"])
def test_demonstrations_never_hold_the_question(policy: str):
    draw = demonstrations(ROWS, 8, policy, 1).draw
    for index, row in enumerate(ROWS):
        shown = draw("train", index, row["question"])
        assert row["question"] not in [s["question"] for s in shown]
        assert len(shown) == 8 == len({s["question"] for s in shown})


@pytest.mark.parametrize("policy", ["per_example", "fixed"])
def test_a_question_that_stands_twice_in_the_pool(policy: str):
    """Both copies are left out, written as they may be, and the number of shots stays what was asked for."""
    copies = [{"question": ROWS[0]["question"].upper(), "answer": "#### 1"}, ROWS[0]]
    pool = [*copies, *ROWS[1:7]]
    for seed in range(30):
        shown = demonstrations(pool, 5, policy, seed).draw("train", 1, ROWS[0]["question"])
        assert same_question(ROWS[0]["question"]) not in [same_question(s["question"]) for s in shown]
        assert len(shown) == 5, f"seed {seed}: {len(shown)} demonstrations instead of 5"


def test_draws_depend_on_seed_split_and_index_alone():
    def draw(seed: int = 1, split: str = "train", index: int = 3) -> list[dict]:
        return demonstrations(ROWS, 4, "per_example", seed).draw(split, index, QUESTION)

    assert draw() == draw()
    assert all(draw() != other for other in (draw(seed=2), draw(split="test"), draw(index=4)))
    one = demonstrations(ROWS, 4, "per_example", 1)
    backwards = [one.draw("train", i, QUESTION) for i in (5, 4, 3)]
    assert backwards[-1] == draw()


def test_fixed_demonstrations_are_the_same_for_every_question():
    one = demonstrations(ROWS, 4, "fixed", 1)
    assert one.draw("train", 0, QUESTION) == one.draw("test", 9, "Another question?")
    assert one.draw("train", 0, QUESTION) != demonstrations(ROWS, 4, "fixed", 2).draw("train", 0, QUESTION)


def test_more_demonstrations_than_examples():
    with pytest.raises(JobError, match="20 demonstrations can't be drawn from 20 training examples"):
        demonstrations(ROWS, 20, "fixed", 0)


def test_labelled_demonstrations_are_all_of_them():
    """Eight labelled rows and eight shots: every other question sees all, and a labelled one the other seven."""
    one = demonstrations(ROWS, 8, "fixed", 1, pool="labelled", labelled=8)
    mine = {ROWS[i]["question"] for i in labelled_rows(20, 8)}
    assert {row["question"] for row in one.draw("test", 0, QUESTION)} == mine
    for i in labelled_rows(20, 8):
        shown = [row["question"] for row in one.draw("train", i, ROWS[i]["question"])]
        assert len(shown) == 7 and set(shown) == mine - {ROWS[i]["question"]}
    with pytest.raises(JobError, match="9 demonstrations can't be drawn from 8 training examples"):
        demonstrations(ROWS, 9, "fixed", 1, pool="labelled", labelled=8)


@pytest.mark.parametrize("shots", [2, 5])
def test_shuffled_answers_are_those_of_other_demonstrations(shots: int):
    plain, shuffled = (
        demonstrations(ROWS, shots, "per_example", 1, content=content).draw("train", 3, QUESTION)
        for content in ("correct", "shuffled_answers")
    )
    assert [row["question"] for row in shuffled] == [row["question"] for row in plain]
    assert sorted(row["answer"] for row in shuffled) == sorted(row["answer"] for row in plain)
    assert all(a["answer"] != b["answer"] for a, b in zip(shuffled, plain, strict=True))


def test_unrelated_text_has_a_word_for_each_piece_and_nothing_else_in_common():
    assert PIECE.findall("Éva's 12_5% of $3.") == ["Éva", "'", "s", "1", "2", "_", "5", "%", "of", "$", "3", "."]
    plain, other = (
        demonstrations(ROWS, 3, "per_example", 1, content=content).draw("train", 3, QUESTION)
        for content in ("correct", "unrelated_text")
    )
    for a, b in zip(plain, other, strict=True):
        for key in ("question", "answer"):
            assert len(PIECE.findall(a[key])) == len(b[key].split()) and not any(c.isdigit() for c in b[key])


def test_a_control_is_the_same_at_every_draw():
    draws = [
        demonstrations(ROWS, 4, "fixed", 1, content=content).draw("train", 3, QUESTION)
        for content in ("shuffled_answers", "unrelated_text")
        for _ in range(2)
    ]
    assert draws[0] == draws[1] and draws[2] == draws[3]


def test_labelled_and_unlabelled_rows_are_all_rows():
    labelled, unlabelled = (chosen_rows(20, which, 8) for which in ("labelled", "unlabelled"))
    assert len(labelled) == 8 and sorted(labelled + unlabelled) == chosen_rows(20, "all", 8) == list(range(20))
    assert labelled == labelled_rows(20, 8) and labelled_rows(20, None) == list(range(20))


def test_a_smaller_subset_is_part_of_a_larger_one():
    rows = list(range(3, 40))
    small, large = (set(subset(rows, n, seed=1)) for n in (5, 20))
    assert len(small) == 5 and small < large < set(rows) and subset(rows, None, 1) == subset(rows, 99, 1) == rows
    assert subset(rows, 5, seed=1) != subset(rows, 5, seed=2)


def test_drawn_questions():
    """The same as whoever seeds Python's generator and takes a sample of the rows."""
    random.seed(42)
    rows = [f"row {number}" for number in range(1319)]
    assert [rows[n] for n in drawn_questions(1319, 16, 42)] == sorted(random.sample(rows, 16), key=rows.index)
    assert len(set(drawn_questions(50, 16, 42))) == 16 and drawn_questions(50, 16, 42) == drawn_questions(50, 16, 42)
    assert drawn_questions(50, 16, 42) != drawn_questions(50, 16, 1) and drawn_questions(5, 16, 42) == list(range(5))
    assert len(validation_rows(50, 10)) == 10 and validation_rows(50, 0) == []
