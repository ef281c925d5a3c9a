"""Seeded grade-school word problems in GSM8K's format: worked steps, then `#### n`."""

import itertools
import random
import re
from collections.abc import Callable, Iterator

NAMES = """
    Ada Amir Anna Ben Carla Chen Dana Diego Elif Emma Farid Grace Hana Hugo Ines Ivan Jana Jonas Kofi Lara Leo Lucia
    Maya Milo Nadia Noah Olga Omar Paula Priya Quinn Rosa Ravi Sara Selim Sofia Tara Theo Uma Viktor Wendy Yara Zoe
""".split()  # noqa: SIM905
ITEMS = """
    apples pencils marbles stickers books shells coins cards oranges cookies buttons stamps balloons beads candles
    flowers postcards ribbons peaches walnuts crayons tickets badges lemons
""".split()  # noqa: SIM905

# A question, the worked steps of its answer, and the result.
Problem = tuple[str, list[str], int]


def _gain(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, y = r.randint(2, 12), r.randint(2, 9)
    question = f"{a} has {x} {item}. {b} gives {a} {y} more. How many {item} does {a} have now?"
    return question, [f"{a} has {x} + {y} = {x + y} {item}."], x + y


def _loss(r: random.Random, a: str, b: str, item: str) -> Problem:
    y, z = r.randint(2, 9), r.randint(2, 11)
    question = f"{a} has {y + z} {item} and gives {y} of them to {b}. How many {item} does {a} have left?"
    return question, [f"{a} has {y + z} - {y} = {z} {item}."], z


def _groups(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, y = r.randint(2, 6), r.randint(2, 9)
    question = f"{a} fills {x} boxes with {y} {item} each. How many {item} are in the boxes?"
    return question, [f"There are {x} * {y} = {x * y} {item}."], x * y


def _share(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, y = r.randint(2, 6), r.randint(2, 9)
    question = f"{a} shares {x * y} {item} equally among {x} friends. How many {item} does each friend get?"
    return question, [f"Each gets {x * y} / {x} = {y} {item}."], y


def _gain_then_loss(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, y = r.randint(4, 12), r.randint(2, 8)
    z = r.randint(2, x)
    question = f"{a} has {x} {item}, buys {y} more and gives {z} to {b}. How many {item} does {a} have left?"
    return question, [f"First {x} + {y} = {x + y} {item}.", f"Then {x + y} - {z} = {x + y - z} {item}."], x + y - z


def _cost(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, p, y = r.randint(2, 5), r.randint(2, 6), r.randint(2, 9)
    question = f"{a} buys {x} {item} for ${p} each and a bag for ${y}. How many dollars does {a} pay?"
    return question, [f"The {item} cost {x} * {p} = {x * p}.", f"With the bag {x * p} + {y} = {x * p + y}."], x * p + y


def _change(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, p, change = r.randint(2, 5), r.randint(2, 6), r.randint(1, 9)
    paid = x * p + change
    question = f"{a} buys {x} {item} for ${p} each and pays with ${paid}. How many dollars does {a} get back?"
    return question, [f"The {item} cost {x} * {p} = {x * p}.", f"The change is {paid} - {x * p} = {change}."], change


def _twice(r: random.Random, a: str, b: str, item: str) -> Problem:
    x = r.randint(2, 12)
    question = f"{a} collects {x} {item}. {b} collects twice as many. How many {item} do they have together?"
    return question, [f"{b} has 2 * {x} = {2 * x} {item}.", f"Together {x} + {2 * x} = {3 * x} {item}."], 3 * x


def _per_day(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, d, y = r.randint(2, 6), r.randint(2, 5), r.randint(2, 9)
    question = f"{a} sells {x} {item} a day for {d} days. {b} sells {y} in all. How many {item} do they sell together?"
    return question, [f"{a} sells {x} * {d} = {x * d} {item}.", f"Together {x * d} + {y} = {x * d + y}."], x * d + y


def _shelves(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, y = r.randint(2, 5), r.randint(3, 8)
    z = r.randint(2, x * y - 2)
    question = f"There are {x} shelves with {y} {item} each. {a} takes {z} away. How many {item} are left?"
    return question, [f"There were {x} * {y} = {x * y} {item}.", f"Then {x * y} - {z} = {x * y - z}."], x * y - z


def _pack_and_share(r: random.Random, a: str, b: str, item: str) -> Problem:
    n, y, k, x = r.randint(2, 4), r.randint(2, 5), r.randint(2, 4), r.randint(2, 9)
    packs, total, each = n * k, n * k * y, k * y
    question = (
        f"{a} shares {packs} packs of {y} {item} equally among {n} friends. {b}, one of them, already had {x}. "
        f"How many {item} does {b} have now?"
    )
    steps = [
        f"There are {packs} * {y} = {total} {item}.",
        f"Each gets {total} / {n} = {each} {item}.",
        f"{b} has {each} + {x} = {each + x} {item}.",
    ]
    return question, steps, each + x


def _savings(r: random.Random, a: str, b: str, item: str) -> Problem:
    w, s, g, missing = r.randint(2, 5), r.randint(2, 6), r.randint(2, 9), r.randint(2, 9)
    price = w * s + g + missing
    question = (
        f"{a} needs ${price} for {item}, saves ${s} a week for {w} weeks and gets ${g} from {b}. "
        f"How many dollars are missing?"
    )
    steps = [
        f"{a} saves {s} * {w} = {s * w}.",
        f"With the gift {s * w} + {g} = {s * w + g}.",
        f"Missing are {price} - {s * w + g} = {missing}.",
    ]
    return question, steps, missing


def _three_people(r: random.Random, a: str, b: str, item: str) -> Problem:
    x, y, k = r.randint(2, 9), r.randint(2, 9), r.randint(2, 3)
    question = (
        f"{a} has {x} {item}. {b} has {y} more than {a}, and their teacher has {k} times as many as {a}. "
        f"How many {item} are there in total?"
    )
    pair = 2 * x + y
    steps = [
        f"{b} has {x} + {y} = {x + y} {item}.",
        f"The teacher has {k} * {x} = {k * x} {item}.",
        f"In total {x} + {x + y} + {k * x} = {pair + k * x}.",
    ]
    return question, steps, pair + k * x


def _return_trip(r: random.Random, a: str, b: str, item: str) -> Problem:
    d, t, e = r.randint(2, 6), r.randint(2, 4), r.randint(1, 9)
    question = (
        f"{a} brings {item} to a market {d} km away and comes back, {t} times. {b} drives {e} km more than {a}. "
        f"How many km does {b} drive?"
    )
    steps = [
        f"There and back is 2 * {d} = {2 * d} km.",
        f"{a} drives {2 * d} * {t} = {2 * d * t} km.",
        f"{b} drives {2 * d * t} + {e} = {2 * d * t + e} km.",
    ]
    return question, steps, 2 * d * t + e


Template = Callable[[random.Random, str, str, str], Problem]

# Templates by their number of steps, and how often each number comes up: mostly short problems, as a small model needs.
TEMPLATES: dict[int, tuple[Template, ...]] = {
    1: (_gain, _loss, _groups, _share),
    2: (_gain_then_loss, _cost, _change, _twice, _per_day, _shelves),
    3: (_pack_and_share, _savings, _three_people, _return_trip),
}
WEIGHTS = {1: 0.55, 2: 0.35, 3: 0.1}

# Of the sums that a template can ask for, this share is for the test split alone.
TEST_SHARE = 0.25


def word_problems(train: int, test: int, seed: int) -> dict[str, list[dict[str, str]]]:
    """Draw rows of both splits. No question occurs twice, and no sum (a template with its numbers) is in both splits.

    Names and things alone would make two questions of one sum, and a model could answer the test from memory. Both
    splits have the same shares of templates, and so of steps. They are drawn independently, so the size of one doesn't
    change the other.
    """
    return {"train": _draw(train, seed, "train"), "test": _draw(test, seed, "test")}


def _draw(count: int, seed: int, split: str) -> list[dict[str, str]]:
    r, seen = random.Random(f"{seed} {split}"), set()
    return [_question(template, r, seed, split, seen) for template in itertools.islice(_templates(r), count)]


def _templates(r: random.Random) -> Iterator[Template]:
    """Templates in random order, with the same shares in every beginning of the sequence, to within one problem.

    The next number of steps is the one that is furthest behind its weight, and the next template the one of these that
    came up least; chance decides among equals.
    """
    steps_drawn = dict.fromkeys(WEIGHTS, 0)
    drawn = {template: 0 for templates in TEMPLATES.values() for template in templates}
    for count in itertools.count(1):
        steps = max(WEIGHTS, key=lambda n: (round(WEIGHTS[n] * count - steps_drawn[n], 9), r.random()))
        template = min(TEMPLATES[steps], key=lambda t: (drawn[t], r.random()))
        steps_drawn[steps] += 1
        drawn[template] += 1
        yield template


def _question(template: Template, r: random.Random, seed: int, split: str, seen: set[str]) -> dict[str, str]:
    """A question that hasn't been asked, with a sum that belongs to the split."""
    while True:
        first, second = r.sample(NAMES, 2)
        question, steps, result = template(r, first, second, r.choice(ITEMS))
        numbers = " ".join(re.findall(r"\d+", question))
        held_out = random.Random(f"{seed} {template.__name__} {numbers}").random() < TEST_SHARE
        if question not in seen and held_out == (split == "test"):
            seen.add(question)
            return {"question": question, "answer": "\n".join([*steps, f"#### {result}"])}
