"""Rows of a dataset: a question and a worked answer that ends in `#### n`."""

import json
import re
from pathlib import Path
from typing import Any

from ..runtime.errors import JobError
from .gold import gold

Row = dict[str, str]


def read_jsonl(path: Path) -> list[Row]:
    """Rows with a question and an answer that ends in `#### n`.

    Raises:
        JobError: names the file and the line that is wrong.
    """
    rows = []
    try:
        # Not splitlines(), which also splits at line separators that a question may contain.
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise JobError(f"{path} line {number}: not valid JSON ({error})") from None
            rows.append(checked_row(row, f"{path} line {number}"))
    return rows


def checked_row(row: Any, where: str) -> Row:
    """The question and answer of a row; JobError names `where` if one is missing or has no final number."""
    if not isinstance(row, dict):
        raise JobError(f"{where}: a row must be an object with 'question' and 'answer'")
    for key in ("question", "answer"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise JobError(f"{where}: the row has no '{key}'")
    try:
        gold(row["answer"])
    except ValueError as error:
        raise JobError(f"{where}: {error}") from None
    return {"question": row["question"], "answer": row["answer"]}


def same_question(question: str) -> str:
    """What counts as the same question: its words and signs, whatever the case, the spaces and the final mark."""
    return re.sub(r"\s+", " ", question.casefold()).strip().rstrip("?.! ")
