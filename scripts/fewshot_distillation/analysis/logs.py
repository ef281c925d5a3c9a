"""What jobs' logs tell of how the results were made."""

import re
from pathlib import Path
from typing import NamedTuple

from ..status.logs import ENDED

# A job's log begins with its command and where it runs (runtime.cli), each after the time.
COMMAND = re.compile(r"^\d\d:\d\d:\d\d (python .*)$")
PLACE = re.compile(r"^\d\d:\d\d:\d\d on (node .*?); commit (\S+)$")
INTERRUPTED = re.compile(r"^\d\d:\d\d:\d\d continuing from ")
# Lines at the head of a log among which these are looked for.
HEAD = 40


class Log(NamedTuple):
    """One job's log: its rule, its path below the results, and the command that repeats it."""

    rule: str
    path: str
    command: str | None
    place: str | None
    commit: str | None
    interrupted: bool
    finished: bool


def read_logs(results: Path) -> list[Log]:
    """Return all jobs that have left a log below a results folder."""
    found = []
    for path in sorted((results / "logs").rglob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines()[:HEAD]
        matches = [(COMMAND.match(line), PLACE.match(line)) for line in lines]
        command = next((match[1] for match, _ in matches if match), None)
        place = next((match for _, match in matches if match), None)
        found.append(
            Log(
                path.relative_to(results / "logs").parts[0].removesuffix(".log"),
                str(path.relative_to(results)),
                command,
                place and place[1],
                place and place[2],
                any(INTERRUPTED.match(line) for line in lines),
                bool(ENDED.search(text[-4000:])),
            )
        )
    return found
