"""Put all results together: tables and summary.json."""

from pathlib import Path

from fewshot_distillation.analysis.aggregate import aggregate
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
    "tables*": "tables to write",
    "summary": "summary.json",
}


def main() -> None:
    with job(__doc__, AggregateSpec, ARGUMENTS) as this:
        paths = this.paths
        groups = (paths.folders, paths.gaps, paths.teachers, paths.signals, paths.published, paths.reruns)
        *inputs, reruns = [[Path(path) for path in group] for group in groups]
        outputs = {path.stem: path for path in map(Path, [*paths.tables, paths.summary])}
        aggregate(this.spec, *inputs, outputs, Path(paths.dataset), reruns)


if __name__ == "__main__":
    main()
