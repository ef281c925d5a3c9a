"""Answer questions with the base model: phase 0, the baselines, and a teacher's own answers to training questions."""

from pathlib import Path

from fewshot_distillation.config.specs import GenerationSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split, from which demonstrations come",
    "questions": "split whose questions are answered",
    "output": "predictions.parquet",
}


def main() -> None:
    with job(__doc__, GenerationSpec, ARGUMENTS) as this:
        from fewshot_distillation.evaluation.generation import generate_base

        model, train, asked = Path(this.paths.model), Path(this.paths.train), Path(this.paths.questions)
        outputs, engines = {"predictions": Path(this.paths.output)}, this.spec.evaluation.modules
        with this.workspace(outputs, [model, train, asked], *engines) as work:
            if work:
                generate_base(this.spec, model.parent, train, asked, work.folder, work["predictions"], this.machine)


if __name__ == "__main__":
    main()
