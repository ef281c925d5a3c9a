"""Put all results together: tables and summary.json."""

from pathlib import Path

from fewshot_distillation.analysis.aggregate import aggregate
from fewshot_distillation.analysis.tables import TABLES
from fewshot_distillation.config.specs import AggregateSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "folders@": "file that lists the folders of every run and baseline",
    "gaps*": "phase 0 summaries",
    "teachers*": "JSON files about teacher caches",
    "published*": "the file of published accuracies, if there is one",
    "signals*": "audits of the signal in the teachers' targets",
    "dataset": "meta.json of the dataset",
    "reruns*": "judged.parquet of evaluations that were repeated",
    "tables": "folder of the tables",
    "summary": "summary.json",
}


def main() -> None:
    with job(__doc__, AggregateSpec, ARGUMENTS) as this:
        paths = this.paths
        groups = (paths.folders, paths.gaps, paths.teachers, paths.signals, paths.published, paths.reruns)
        *inputs, reruns = [[Path(path) for path in group] for group in groups]
        names = (*TABLES, "published_vs_measured", "noise_floor")
        outputs = {name: Path(paths.tables) / f"{name}.csv" for name in names}
        aggregate(this.spec, *inputs, outputs | {"summary": Path(paths.summary)}, Path(paths.dataset), reruns)


if __name__ == "__main__":
    main()
