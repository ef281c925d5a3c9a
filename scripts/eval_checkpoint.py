"""Answer the test questions with every checkpoint of a run, zero-shot, or with one checkpoint by itself."""

from pathlib import Path

from fewshot_distillation.config.specs import EvaluateSpec
from fewshot_distillation.data.checkpoints import checkpoints_of, single_checkpoint
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "checkpoints": "manifest of the run's checkpoints, or the folder of a single one",
    "test": "test split",
    "output": "predictions.parquet",
}


def main() -> None:
    with job(__doc__, EvaluateSpec, ARGUMENTS) as this:
        from fewshot_distillation.evaluation.generation import evaluate_checkpoints

        paths, steps = this.paths, this.spec.checkpoints
        model, given, test = Path(paths.model), Path(paths.checkpoints), Path(paths.test)
        checkpoints = single_checkpoint(given, steps) if given.is_dir() else checkpoints_of(given, steps)
        files = sorted(path for path in given.iterdir() if path.is_file()) if given.is_dir() else [given]
        outputs, engines = {"predictions": Path(paths.output)}, this.spec.evaluation.modules
        with this.workspace(outputs, [model, test, *files], *engines) as work:
            if work:
                evaluate_checkpoints(
                    this.spec, model.parent, checkpoints, test, work.folder, work["predictions"], this.machine
                )


if __name__ == "__main__":
    main()
