"""Answer test questions with the untrained model: phase 0 and the baselines."""

from pathlib import Path

from fewshot_distillation.config.specs import GenerationSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split, from which demonstrations come",
    "test": "test split",
    "gpus": "GPUs that were allotted to this job",
    "state": "folder of unfinished work",
    "output": "predictions.parquet",
}


def main() -> None:
    with job(__doc__, GenerationSpec, ARGUMENTS) as this:
        from fewshot_distillation.evaluation.generation import generate_untrained

        model, train, test = Path(this.paths.model), Path(this.paths.train), Path(this.paths.test)
        with this.workspace({"predictions": Path(this.paths.output)}, inputs=[model, train, test]) as work:
            if work:
                generate_untrained(this.spec, model.parent, train, test, work.folder, work["predictions"])


if __name__ == "__main__":
    main()
