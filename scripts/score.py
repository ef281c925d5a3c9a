"""Score generated answers."""

from pathlib import Path

from fewshot_distillation.config.specs import ScoreSpec
from fewshot_distillation.evaluation.scoring import score
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "predictions": "predictions.parquet",
    "test": "test split with the reference answers",
    "accuracy": "accuracy.csv",
    "judged": "judged.parquet: what was extracted from each answer, and whether it is right",
}


def main() -> None:
    with job(__doc__, ScoreSpec, ARGUMENTS) as this:
        paths = this.paths
        score(this.spec, Path(paths.predictions), Path(paths.test), Path(paths.accuracy), Path(paths.judged))


if __name__ == "__main__":
    main()
