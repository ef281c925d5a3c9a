"""Answer the test questions with every checkpoint of a run, zero-shot."""

from pathlib import Path

from fewshot_distillation.config.specs import EvaluateSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "checkpoints": "manifest of the run's checkpoints",
    "test": "test split",
    "gpus": "GPUs that were allotted to this job",
    "state": "folder of unfinished work",
    "output": "predictions.parquet",
}


def main() -> None:
    with job(__doc__, EvaluateSpec, ARGUMENTS) as this:
        from fewshot_distillation.evaluation.generation import evaluate_checkpoints

        model, checkpoints, test = Path(this.paths.model), Path(this.paths.checkpoints), Path(this.paths.test)
        with this.workspace({"predictions": Path(this.paths.output)}, inputs=[model, checkpoints, test]) as work:
            if work:
                evaluate_checkpoints(
                    this.spec, model.parent, checkpoints.parent, test, work.folder, work["predictions"]
                )


if __name__ == "__main__":
    main()
