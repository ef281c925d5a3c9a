"""Seeded grade-school word problems in GSM8K's format: worked steps, then `#### n`."""

import random
from collections.abc import Callable, Iterator

NAMES = (
    "Ada Amir Anna Ben Carla Chen Dana Diego Elif Emma Farid Grace Hana Hugo Ines Ivan Jana Jonas Kofi Lara Leo Lucia "
    "Maya Milo Nadia Noah Olga Omar Paula Priya Quinn Rosa Ravi Sara Selim Sofia Tara Theo Uma Viktor Wendy Yara Yusuf Zoe"
).split()
ITEMS = (
    "apples pencils marbles stickers books shells coins cards oranges cookies buttons stamps balloons beads candles "
    "flowers postcards ribbons peaches walnuts crayons tickets badges lemons"
).split()
PLACES = "farm market school library bakery garden museum harbour theatre workshop".split()

Problem = tuple[str, list[str], int]


def _gain(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, y = r.randint(5, 60), r.randint(3, 40)
    q = f"{a} has {x} {item}. At the {place}, {b} gives {a} {y} more. How many {item} does {a} have now?"
    return q, [f"{a} has {x} + {y} = {x + y} {item} now."], x + y


def _loss(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    y, z = r.randint(3, 40), r.randint(2, 50)
    q = f"{a} brings {y + z} {item} to the {place} and gives {y} of them to {b}. How many {item} does {a} have left?"
    return q, [f"{a} has {y + z} - {y} = {z} {item} left."], z


def _groups(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, y = r.randint(3, 12), r.randint(3, 15)
    q = f"In the {place}, {a} fills {x} boxes with {y} {item} each. How many {item} are in the boxes?"
    return q, [f"There are {x} * {y} = {x * y} {item} in the boxes."], x * y


def _share(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, y = r.randint(3, 12), r.randint(2, 15)
    q = f"{a} shares {x * y} {item} equally among {x} children at the {place}. How many {item} does each child get?"
    return q, [f"Each child gets {x * y} / {x} = {y} {item}."], y


def _gain_then_loss(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, y = r.randint(10, 50), r.randint(5, 40)
    z = r.randint(2, x + y - 2)
    q = (
        f"{a} has {x} {item} and buys {y} more at the {place}. Then {a} gives {z} {item} to {b}. "
        f"How many {item} does {a} have left?"
    )
    steps = [f"After buying, {a} has {x} + {y} = {x + y} {item}.", f"{a} has {x + y} - {z} = {x + y - z} {item} left."]
    return q, steps, x + y - z


def _cost(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, p, y = r.randint(2, 12), r.randint(2, 9), r.randint(3, 30)
    q = (
        f"At the {place}, {a} buys {x} {item} for ${p} each and a bag for ${y}. "
        f"How many dollars does {a} pay altogether?"
    )
    steps = [f"The {item} cost {x} * {p} = {x * p} dollars.", f"{a} pays {x * p} + {y} = {x * p + y} dollars."]
    return q, steps, x * p + y


def _change(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, p = r.randint(2, 9), r.randint(2, 9)
    paid = x * p + r.randint(1, 40)
    q = (
        f"{a} buys {x} {item} at the {place} for ${p} each and pays with ${paid}. "
        f"How many dollars does {a} get back?"
    )
    steps = [f"The {item} cost {x} * {p} = {x * p} dollars.", f"{a} gets {paid} - {x * p} = {paid - x * p} dollars back."]
    return q, steps, paid - x * p


def _twice(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x = r.randint(4, 45)
    q = (
        f"{a} collects {x} {item} at the {place}. {b} collects twice as many. "
        f"How many {item} do they collect together?"
    )
    steps = [f"{b} collects 2 * {x} = {2 * x} {item}.", f"Together they collect {x} + {2 * x} = {3 * x} {item}."]
    return q, steps, 3 * x


def _per_day(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, d, y = r.randint(3, 12), r.randint(3, 9), r.randint(2, 20)
    q = (
        f"{a} sells {x} {item} a day at the {place} for {d} days, and {b} sells {y} {item} in all. "
        f"How many {item} do they sell together?"
    )
    steps = [f"{a} sells {x} * {d} = {x * d} {item}.", f"Together they sell {x * d} + {y} = {x * d + y} {item}."]
    return q, steps, x * d + y


def _shelves(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, y = r.randint(3, 9), r.randint(4, 12)
    z = r.randint(2, x * y - 2)
    q = (
        f"The {place} has {x} shelves with {y} {item} each. {a} takes {z} {item} away. "
        f"How many {item} are left on the shelves?"
    )
    steps = [f"The shelves hold {x} * {y} = {x * y} {item}.", f"{x * y} - {z} = {x * y - z} {item} are left."]
    return q, steps, x * y - z


def _pack_and_share(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    n, y, x = r.randint(2, 6), r.randint(3, 10), r.randint(2, 6)
    total, packs = n * x * y, n * x
    q = (
        f"{a} buys {packs} packs of {y} {item} at the {place} and shares them equally among {n} friends. {b}, one of "
        f"them, already had {x} {item}. How many {item} does {b} have now?"
    )
    steps = [
        f"The packs hold {packs} * {y} = {total} {item}.",
        f"Each friend gets {total} / {n} = {total // n} {item}.",
        f"{b} has {total // n} + {x} = {total // n + x} {item} now.",
    ]
    return q, steps, total // n + x


def _savings(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    w, s, g = r.randint(3, 9), r.randint(4, 15), r.randint(5, 30)
    price = w * s + g + r.randint(3, 40)
    q = (
        f"{a} wants to buy {item} for ${price} at the {place}. {a} saves ${s} a week for {w} weeks, and {b} adds ${g}. "
        f"How many dollars are still missing?"
    )
    steps = [
        f"{a} saves {s} * {w} = {s * w} dollars.",
        f"With the gift there are {s * w} + {g} = {s * w + g} dollars.",
        f"{price} - {s * w + g} = {price - s * w - g} dollars are missing.",
    ]
    return q, steps, price - s * w - g


def _three_people(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    x, y, k = r.randint(4, 30), r.randint(2, 20), r.randint(2, 4)
    q = (
        f"{a} brings {x} {item} to the {place}. {b} brings {y} more than {a}, and the teacher brings {k} times as many "
        f"as {a}. How many {item} are there in total?"
    )
    steps = [
        f"{b} brings {x} + {y} = {x + y} {item}.",
        f"The teacher brings {k} * {x} = {k * x} {item}.",
        f"In total there are {x} + {x + y} + {k * x} = {2 * x + y + k * x} {item}.",
    ]
    return q, steps, 2 * x + y + k * x


def _return_trip(r: random.Random, a: str, b: str, item: str, place: str) -> Problem:
    d, t, e = r.randint(2, 12), r.randint(2, 6), r.randint(1, 20)
    q = (
        f"{a} lives {d} km from the {place} and goes there and back {t} times to deliver {item}. "
        f"{b} drives {e} km more than {a}. How many km does {b} drive?"
    )
    steps = [
        f"There and back is 2 * {d} = {2 * d} km.",
        f"{a} drives {2 * d} * {t} = {2 * d * t} km.",
        f"{b} drives {2 * d * t} + {e} = {2 * d * t + e} km.",
    ]
    return q, steps, 2 * d * t + e


TEMPLATES: tuple[Callable[[random.Random, str, str, str, str], Problem], ...] = (
    _gain,
    _loss,
    _groups,
    _share,
    _gain_then_loss,
    _cost,
    _change,
    _twice,
    _per_day,
    _shelves,
    _pack_and_share,
    _savings,
    _three_people,
    _return_trip,
)


def word_problems(train: int, test: int, seed: int) -> dict[str, list[dict[str, str]]]:
    """Rows of both splits; no question occurs twice, so the splits are disjoint.

    The test split is drawn first, so it stays the same when the size of the training split changes.
    """
    rows = _distinct(random.Random(f"word problems {seed}"))
    return {"test": [next(rows) for _ in range(test)], "train": [next(rows) for _ in range(train)]}


def _distinct(r: random.Random) -> Iterator[dict[str, str]]:
    seen: set[str] = set()
    while True:
        first, second = r.sample(NAMES, 2)
        question, steps, result = r.choice(TEMPLATES)(r, first, second, r.choice(ITEMS), r.choice(PLACES))
        if question not in seen:
            seen.add(question)
            yield {"question": question, "answer": "\n".join([*steps, f"#### {result}"])}
