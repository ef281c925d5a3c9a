"""Seeded arithmetic with four choices: rows of the task `multiple_choice`, each with its worked steps."""

import random
from collections.abc import Iterator
from typing import Any

LETTERS = "ABCD"

# Of all sums this share is for the test split alone.
TEST_SHARE = 0.25


def arithmetic_choices(train: int, test: int, seed: int) -> dict[str, list[dict[str, Any]]]:
    """Draw rows of both splits. No question occurs twice, and no sum is in both splits, however it is ordered.

    The splits are drawn independently, so the size of one doesn't change the other.
    """
    return {"train": _draw(train, seed, "train"), "test": _draw(test, seed, "test")}


def _draw(count: int, seed: int, split: str) -> list[dict[str, Any]]:
    rows = (row for part, row in _distinct(random.Random(f"{seed} {split}"), seed) if part == split)
    return [next(rows) for _ in range(count)]


def _distinct(r: random.Random, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Distinct questions, each with the split that its sum belongs to."""
    seen: set[str] = set()
    while True:
        terms, steps, result = _one_step(r) if r.random() < 0.5 else _two_steps(r)
        question = f"What is {' '.join(terms)}?"
        if question not in seen:
            seen.add(question)
            held_out = random.Random(f"{seed} {sorted(terms)}").random() < TEST_SHARE
            yield "test" if held_out else "train", _row(r, question, steps, result)


def _one_step(r: random.Random) -> tuple[list[str], list[str], int]:
    x, y, operator = r.randint(2, 60), r.randint(2, 60), r.choice("+-*")
    if operator == "-":
        x, y = x + y, y
    if operator == "*":
        y = r.randint(2, 9)
    result = {"+": x + y, "-": x - y, "*": x * y}[operator]
    return [str(x), operator, str(y)], [f"{x} {operator} {y} = {result}."], result


def _two_steps(r: random.Random) -> tuple[list[str], list[str], int]:
    x, y = r.randint(2, 60), r.randint(2, 60)
    z, operator = r.randint(2, 60), r.choice("+-")
    if operator == "-":
        z = r.randint(2, x + y)
    result = x + y + z if operator == "+" else x + y - z
    steps = [f"{x} + {y} = {x + y}.", f"{x + y} {operator} {z} = {result}."]
    return [str(x), "+", str(y), operator, str(z)], steps, result


def _row(r: random.Random, question: str, steps: list[str], result: int) -> dict[str, Any]:
    """The question with the result among results that are a little off."""
    near = {abs(result + off) for off in (-10, -2, -1, 1, 2, 10)} - {result}
    choices = [result, *r.sample(sorted(near), len(LETTERS) - 1)]
    r.shuffle(choices)
    return {
        "question": question,
        "choices": [str(choice) for choice in choices],
        "answer": LETTERS[choices.index(result)],
        "explanation": "\n".join(steps),
    }
