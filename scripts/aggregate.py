"""Put all results together: tables and summary.json."""

from pathlib import Path

from fewshot_distillation.analysis.aggregate import TABLES, aggregate
from fewshot_distillation.config.specs import AggregateSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "folders*": "folders of every run and baseline",
    "gaps*": "phase 0 summaries",
    "teachers*": "JSON files about teacher caches",
    "signals*": "audits of what there was to learn",
    "tables": "folder of the tables",
    "summary": "summary.json",
}


def main() -> None:
    with job(__doc__, AggregateSpec, ARGUMENTS) as this:
        folders, gaps, teachers, signals = (
            [Path(path) for path in getattr(this.paths, name)] for name in ("folders", "gaps", "teachers", "signals")
        )
        outputs = {name: Path(this.paths.tables) / f"{name}.csv" for name in TABLES}
        aggregate(this.spec, folders, gaps, teachers, outputs | {"summary": Path(this.paths.summary)}, signals)


if __name__ == "__main__":
    main()
