"""Answer test questions with the untrained model: phase 0 and the baselines."""

from pathlib import Path

from fewshot_distillation.config.catalogue import Server
from fewshot_distillation.config.specs import GenerationSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "model": "manifest of the fetched model",
    "train": "training split, from which demonstrations come",
    "test": "test split",
    "gpus": "GPUs that were allotted to this job",
    "server": "JSON of the server that backend `server` asks",
    "state": "folder of unfinished work",
    "output": "predictions.parquet",
}


def main() -> None:
    with job(__doc__, GenerationSpec, ARGUMENTS) as this:
        from fewshot_distillation.evaluation.generation import Machine, generate_untrained

        model, train, test = Path(this.paths.model), Path(this.paths.train), Path(this.paths.test)
        machine = Machine(int(this.paths.gpus), Server.model_validate_json(this.paths.server))
        outputs, engines = {"predictions": Path(this.paths.output)}, this.spec.evaluation.modules
        with this.workspace(outputs, [model, train, test], *engines) as work:
            if work:
                generate_untrained(this.spec, model.parent, train, test, work.folder, work["predictions"], machine)


if __name__ == "__main__":
    main()
