"""Put all results together: tables and summary.json."""

from pathlib import Path

from fewshot_distillation.analysis.aggregate import TABLES, aggregate
from fewshot_distillation.config.specs import AggregateSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "accuracy*": "accuracy.csv of every run and baseline",
    "judged*": "judged.parquet of every run and baseline",
    "gaps*": "phase 0 summaries",
    "notes*": "JSON files about teacher caches and training runs",
    "tables": "folder of the tables",
    "summary": "summary.json",
}


def main() -> None:
    with job(__doc__, AggregateSpec, ARGUMENTS) as this:
        paths = this.paths
        outputs = {name: Path(paths.tables) / f"{name}.csv" for name in TABLES} | {"summary": Path(paths.summary)}
        aggregate(this.spec, paths.accuracy, paths.judged, paths.gaps, paths.notes, outputs)


if __name__ == "__main__":
    main()
