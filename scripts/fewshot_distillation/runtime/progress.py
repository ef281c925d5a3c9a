"""Progress as lines that read well on a terminal and in a log file."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

log = logging.getLogger("fewshot_distillation")
T = TypeVar("T")


class _Lines:
    """A file for tqdm in which every update is a log record instead of an overwritten line."""

    def write(self, text: str) -> None:
        if text.strip():
            log.info(text.strip())

    def flush(self) -> None:
        pass


def progress(
    items: Iterable[T], what: str, total: int | None = None, done: int = 0, unit: str = "it", every: float = 5,
    note: Callable[[], str] | None = None,
) -> Iterator[T]:  # fmt: skip
    """Iterate with a line every so many seconds: how far, how fast, how long to go.

    Args:
        done: how many items earlier work has dealt with.
        note: what a line says besides.
    """
    looks = {"file": _Lines(), "mininterval": every, "ascii": " .", "ncols": 100 if note is None else 140}
    bar = tqdm(items, desc=what, total=total, initial=done, unit=unit, **looks)
    for item in bar:
        yield item
        if note is not None:
            bar.set_postfix_str(note(), refresh=False)
