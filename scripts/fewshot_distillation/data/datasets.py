"""Rows of a dataset, from its source to train.jsonl and test.jsonl, checked on the way."""

import importlib
import json
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..config.sources import FilesDataset, GeneratedDataset, HubDataset
from ..config.specs import DatasetSpec
from ..errors import JobError, one_line
from ..runtime.files import sha256, write_json, write_text
from ..tasks import Task, task_of
from ..tasks.base import tidy
from .hub import one_sentence
from .rows import Row, same_question
from .selection import validation_rows

log = logging.getLogger("fewshot_distillation")

SPLITS = ("train", "test")
# Skipped rows that meta.json quotes.
SHOWN = 5

# A row of a source with the place that an error names.
Placed = tuple[str, Any]


def check_disjoint(train: list[Row], test: list[Row]) -> None:
    """Raise JobError if a question is in both splits, or twice in the test split."""
    seen = {same_question(row["question"]): number for number, row in enumerate(train, start=1)}
    in_test: dict[str, int] = {}
    for number, row in enumerate(test, start=1):
        key = same_question(row["question"])
        if key in seen:
            raise JobError(
                f"test row {number} asks the same question as train row {seen[key]}: {row['question'][:100]!r}; "
                "remove one of them"
            )
        if key in in_test:
            raise JobError(f"test rows {in_test[key]} and {number} ask the same question: {row['question'][:100]!r}")
        in_test[key] = number


def read_source_file(path: Path) -> Iterator[Placed]:
    """Read the rows of a JSONL file of a user's.

    Raises:
        JobError: names the file and the line that is wrong.
    """
    try:
        # Not splitlines(), which also splits at line separators that a question may contain.
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise JobError(f"{path}: expected UTF-8 text ({error}); save the file in that encoding") from None
    except OSError as error:
        raise JobError(f"{path}: can't be read ({error.strerror}); correct the source of the dataset") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{path} line {number}"
            try:
                yield where, json.loads(line, object_pairs_hook=_once_each)
            except RepeatedKey as error:
                raise JobError(f"{where}: {error}") from None
            except (ValueError, RecursionError) as error:
                broken = isinstance(error, json.JSONDecodeError)
                reason = f"{error.msg} at column {error.colno}" if broken else one_line(error)
                raise JobError(f"{where}: expected one JSON object a line ({reason}); correct the line") from None


class RepeatedKey(ValueError):
    """A key is twice in one JSON object."""


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise RepeatedKey(f"the key {repeated!r} is in the row twice; keep one of them")
    return row


def _from_hub(source: HubDataset) -> tuple[dict[str, Iterable[Placed]], str]:
    from datasets import load_dataset
    from huggingface_hub import HfApi

    with one_sentence(source):
        commit = HfApi().dataset_info(source.hub, revision=source.revision).sha
        loaded = load_dataset(source.hub, source.name, revision=commit)
    missing = [split for split in SPLITS if split not in loaded]
    if missing:
        raise JobError(f"{source.hub}: split {missing[0]} is missing; it has {', '.join(loaded)}")
    return {split: _numbered(loaded[split], f"{source.hub} {split} row") for split in SPLITS}, commit


def _numbered(rows: Iterable[Any], where: str) -> Iterator[Placed]:
    return ((f"{where} {number}", row) for number, row in enumerate(rows, start=1))


def load_rows(source: HubDataset | FilesDataset | GeneratedDataset) -> tuple[dict[str, Iterable[Placed]], str | None]:
    """Load the source's own rows of both splits, and the resolved revision where there is one."""
    if isinstance(source, GeneratedDataset):
        # By name, so that a change to one generator leaves datasets from elsewhere as they are.
        module = importlib.import_module(f".{source.generator}", __package__)
        drawn = getattr(module, source.generator)(source.train, source.test, source.seed)
        return {split: _numbered(drawn[split], f"{source.generator} {split} row") for split in SPLITS}, None
    if isinstance(source, FilesDataset):
        return {split: read_source_file(Path(getattr(source.files, split))) for split in SPLITS}, None
    return _from_hub(source)


def written_rows(task: Task, placed: Iterable[Placed], on_bad_rows: str = "refuse") -> tuple[list[Row], list[str]]:
    """Turn a source's rows into those that all jobs read; also what was wrong with each row that was skipped.

    Raises:
        JobError: names the row that is wrong, unless bad rows are skipped.
    """
    rows, skipped = [], []
    for where, row in placed:
        try:
            rows.append(task.example(row))
        except ValueError as error:
            if on_bad_rows == "refuse":
                raise JobError(f"{where}: {error}; correct the row, or set datasets.<name>.on_bad_rows: skip") from None
            skipped.append(f"{where}: {error}")
    return rows, skipped


def fetch_dataset(spec: DatasetSpec, train_path: Path, test_path: Path, meta_path: Path) -> None:
    """Write both splits as JSONL, the rows set aside as validation.jsonl beside them, and digests in meta.json."""
    task = task_of(spec.task)
    loaded, revision = load_rows(spec.source)
    limits = {"train": spec.limit_train, "test": spec.limit_test}
    rows, skipped = {}, {}
    for split in SPLITS:
        found, wrong = written_rows(task, loaded[split], spec.on_bad_rows)
        rows[split] = found[: limits[split]]
        skipped[split] = {"rows": len(wrong), "of": len(found) + len(wrong), "first": wrong[:SHOWN]}
        if wrong:
            log.warning(
                "%s: %d of %d rows skipped; the first: %s", split, len(wrong), len(found) + len(wrong), wrong[0]
            )
        if not rows[split]:
            raise JobError(f"dataset '{spec.name}': the {split} split is empty; it needs a row")
    check_disjoint(rows["train"], rows["test"])
    if spec.calculation_annotations == "strip":
        for row in (row for part in rows.values() for row in part):
            row["answer"] = tidy(re.sub(task.annotations, "", row["answer"]), "answer")
    paths = {"train": train_path, "test": test_path, "validation": train_path.with_name("validation.jsonl")}
    rows |= _set_aside(rows["train"], spec)
    for split, path in paths.items():
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[split]))
    write_json(
        meta_path,
        {
            "dataset": spec.model_dump(mode="json"),
            "revision": revision,
            "rows": {split: len(rows[split]) for split in paths},
            "skipped": skipped,
            "sha256": {split: sha256(path) for split, path in paths.items()},
        },
    )


def _set_aside(train: list[Row], spec: DatasetSpec) -> dict[str, list[Row]]:
    """The training rows without those for validation, and these; the same question is never in both.

    Raises:
        JobError: no training row would be left.
    """
    if spec.validation >= len(train):
        raise JobError(
            f"datasets.{spec.name}.validation: {spec.validation} rows can't be set aside of {len(train)} training rows"
        )
    aside = {same_question(train[i]["question"]) for i in validation_rows(len(train), spec.validation)}
    parts: dict[str, list[Row]] = {"train": [], "validation": []}
    for row in train:
        parts["validation" if same_question(row["question"]) in aside else "train"].append(row)
    return parts
