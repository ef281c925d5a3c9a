"""Rows of a dataset, from its source to train.jsonl and test.jsonl, checked on the way."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..config.sources import FilesDataset, GeneratedDataset, HubDataset
from ..config.specs import DatasetSpec
from ..runtime.errors import JobError
from ..runtime.files import sha256, write_json, write_text
from .rows import Row, checked_row, read_jsonl, same_question
from .word_problems import word_problems

SPLITS = ("train", "test")


def check_disjoint(train: list[Row], test: list[Row]) -> None:
    """Raise JobError if a question stands in both splits, or twice in the test split."""
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


def without_marks(answer: str) -> str:
    """A worked answer without GSM8K's calculator marks: `48/2 = <<48/2=24>>24` becomes `48/2 = 24`."""
    return re.sub(r"<<[^<>]*>>", "", answer)


def _from_hub(source: HubDataset) -> tuple[dict[str, Iterable[Any]], str]:
    from datasets import load_dataset
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        commit = HfApi().dataset_info(source.hub, revision=source.revision).sha
        loaded = load_dataset(source.hub, source.name, revision=commit)
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise JobError(f"{source.hub} at {source.revision} can't be fetched from the hub: {error}") from None
    missing = [split for split in SPLITS if split not in loaded]
    if missing:
        raise JobError(f"{source.hub}: split {missing[0]} is missing; it has {', '.join(loaded)}")
    return {split: loaded[split] for split in SPLITS}, commit


def load_rows(source: HubDataset | FilesDataset | GeneratedDataset) -> tuple[dict[str, list[Row]], str | None]:
    """Rows of both splits, and the resolved revision where there is one."""
    if isinstance(source, GeneratedDataset):
        return word_problems(source.train, source.test, source.seed), None
    if isinstance(source, FilesDataset):
        return {split: read_jsonl(Path(getattr(source.files, split))) for split in SPLITS}, None
    loaded, commit = _from_hub(source)
    rows = {
        split: [checked_row(row, f"{source.hub} {split} row {n}") for n, row in enumerate(part, start=1)]
        for split, part in loaded.items()
    }
    return rows, commit


def fetch_dataset(spec: DatasetSpec, train_path: Path, test_path: Path, meta_path: Path) -> None:
    """Write both splits as JSONL, with their digests in meta.json."""
    rows, revision = load_rows(spec.source)
    rows["train"] = rows["train"][: spec.limit_train]
    rows["test"] = rows["test"][: spec.limit_test]
    for split in SPLITS:
        if not rows[split]:
            raise JobError(f"dataset '{spec.name}': the {split} split is empty")
    check_disjoint(rows["train"], rows["test"])
    if spec.calculation_annotations == "strip":
        rows = {split: [row | {"answer": without_marks(row["answer"])} for row in part] for split, part in rows.items()}
    for split, path in (("train", train_path), ("test", test_path)):
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[split]))
    write_json(
        meta_path,
        {
            "dataset": spec.model_dump(mode="json"),
            "revision": revision,
            "rows": {split: len(rows[split]) for split in SPLITS},
            "sha256": {"train": sha256(train_path), "test": sha256(test_path)},
        },
    )
