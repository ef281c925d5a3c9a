"""Fetch a dataset from its source, check it, and write train.jsonl, test.jsonl and meta.json."""

from pathlib import Path

from fewshot_distillation.config.specs import FetchDatasetSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {"train": "training split (JSONL)", "test": "test split (JSONL)", "meta": "digests and counts (JSON)"}


def main() -> None:
    with job(__doc__, FetchDatasetSpec, ARGUMENTS, network=True) as this:
        from fewshot_distillation.data.datasets import fetch_dataset

        fetch_dataset(this.spec.dataset, Path(this.paths.train), Path(this.paths.test), Path(this.paths.meta))


if __name__ == "__main__":
    main()
