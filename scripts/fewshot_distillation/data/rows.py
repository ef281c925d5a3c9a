"""Rows as `fetch_dataset` leaves them: a question, the answer that the model should write, and the reference.

Question and answer are text for whoever reads them; only scoring depends on the task and reads the reference.
"""

import json
import re
from pathlib import Path

from ..errors import JobError

Row = dict[str, str]
COLUMNS = ("question", "answer", "reference")


def read_jsonl(path: Path) -> list[Row]:
    """Read the rows of a fetched split.

    Raises:
        JobError: the file can't be read, or a line isn't a row that `fetch_dataset` wrote.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line]
    except (OSError, ValueError) as error:
        raise JobError(f"{path}: cannot be read as JSON lines ({error})") from None
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict) or tuple(row) != COLUMNS or not all(isinstance(row[key], str) for key in COLUMNS):
            raise JobError(
                f"{path} row {number}: expected {', '.join(COLUMNS)} as `fetch_dataset` writes them; "
                "delete the file to fetch the dataset again"
            )
    return rows


def same_question(question: str) -> str:
    """Normalise a question: its words and signs, whatever the case, the spaces and the final mark."""
    return re.sub(r"\s+", " ", question.casefold()).strip().rstrip("?.! ")
