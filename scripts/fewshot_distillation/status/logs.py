"""A running job's progress, from the end of its log."""

import re
from pathlib import Path
from typing import NamedTuple

# As runtime.progress writes it: `train sft:  42%|..  | 420/1000 [01:23<01:54,  5.0step/s]`.
BAR = re.compile(
    r"(?P<what>[^\n]*?): +\d+%\|[^|]*\| (?P<done>\d+)/(?P<total>\d+) "
    r"\[(?P<spent>[\d:]+)<(?P<left>[\d:?]+), *(?P<rate>[^\]]*)\]"
)
ENDED = re.compile(r"^\d\d:\d\d:\d\d \S+\.py finished in ", re.M)
WRONG = re.compile(r"^(?:error: |Traceback \(most recent call last\))", re.M)
PLACE = re.compile(r" on node ([^,;]+)(?:, Slurm job (\d+))?")
# Bytes at the end of a log that are looked at, and at its beginning.
TAIL, HEAD = 20_000, 4_000


class Tail(NamedTuple):
    """The end of a log: whether the job ended, well or not, and its last progress bar."""

    ended: bool
    wrong: bool
    what: str | None
    done: int | None
    total: int | None
    left_s: float | None
    rate: str | None
    place: str | None


def read_tail(log: Path) -> Tail:
    with open(log, "rb") as file:
        head = file.read(HEAD).decode(errors="replace")
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        text = file.read().decode(errors="replace")
    place = PLACE.search(head)
    where = place and (f"{place[1]}, Slurm job {place[2]}" if place[2] else place[1])
    ended, wrong = bool(ENDED.search(text)), bool(WRONG.search(text))
    bars = list(BAR.finditer(text))
    if not bars:
        return Tail(ended, wrong, None, None, None, None, None, where)
    bar = bars[-1]
    what = re.sub(r"^\d\d:\d\d:\d\d ", "", bar["what"])
    count = int(bar["done"]), int(bar["total"]), _seconds(bar["left"])
    return Tail(ended, wrong, what, *count, bar["rate"].strip(), where)


def _seconds(clock: str) -> float | None:
    """Seconds of tqdm's `mm:ss` or `h:mm:ss`; None where it doesn't know yet."""
    if "?" in clock:
        return None
    total = 0.0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return total
