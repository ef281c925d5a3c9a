"""Which training rows a job uses: functions of seeds alone, so that every job agrees on them."""

import random

# Of the draws below; a run's own seed draws its subset of examples.
SEED = 42


def validation_rows(count: int, wanted: int) -> list[int]:
    """Return ascending indices of the rows of a training split that are set aside for validation."""
    return sorted(random.Random(f"{SEED} validation").sample(range(count), wanted))


def labelled_rows(count: int, labelled: int | None) -> list[int]:
    """Return ascending indices of the labelled rows; without a number of them all rows are."""
    return sorted(_order(count, f"{SEED} labelled")[:labelled])


def chosen_rows(count: int, examples: str, labelled: int | None) -> list[int]:
    """Return ascending indices of the rows that a condition's `examples` names."""
    if examples == "all":
        return list(range(count))
    mine = set(labelled_rows(count, labelled))
    return [i for i in range(count) if (i in mine) == (examples == "labelled")]


def subset(rows: list[int], wanted: int | None, seed: int) -> list[int]:
    """Draw so many of the rows, ascending; a smaller subset of the same seed is part of a larger one."""
    if wanted is None or wanted >= len(rows):
        return rows
    return sorted(rows[place] for place in _order(len(rows), f"{seed} subset")[:wanted])


def drawn_questions(count: int, wanted: int, seed: int) -> list[int]:
    """Draw so many test questions; return their ascending indices.

    They are those of `random.seed(seed); random.sample(rows, wanted)`, as others draw them.
    """
    return sorted(random.Random(seed).sample(range(count), min(wanted, count)))


def _order(count: int, key: str) -> list[int]:
    order = list(range(count))
    random.Random(key).shuffle(order)
    return order
