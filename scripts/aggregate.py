"""Put all results together: tables and summary.json."""

from pathlib import Path

from fewshot_distillation.analysis.aggregate import TABLES, aggregate
from fewshot_distillation.config.specs import AggregateSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "folders*": "folders of every run and baseline",
    "gaps*": "phase 0 summaries",
    "teachers*": "JSON files about teacher caches",
    "tables": "folder of the tables",
    "summary": "summary.json",
}


def main() -> None:
    with job(__doc__, AggregateSpec, ARGUMENTS) as this:
        folders, gaps, teachers = (
            [Path(path) for path in paths] for paths in (this.paths.folders, this.paths.gaps, this.paths.teachers)
        )
        outputs = {name: Path(this.paths.tables) / f"{name}.csv" for name in TABLES}
        aggregate(this.spec, folders, gaps, teachers, outputs | {"summary": Path(this.paths.summary)})


if __name__ == "__main__":
    main()
