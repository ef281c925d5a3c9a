"""Fetch a model from its source and write it as safetensors with a manifest."""

from pathlib import Path

from fewshot_distillation.config.specs import FetchModelSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "files*": "files of this machine that the source reads",
    "output": "folder of the model",
}


def main() -> None:
    with job(__doc__, FetchModelSpec, ARGUMENTS, network=True) as this:
        from fewshot_distillation.data.models import fetch_model

        with this.workspace({"model": Path(this.paths.output)}, inputs=list(map(Path, this.paths.files))) as work:
            if work:
                wanted = (this.machine.layers, this.machine.modules, this.machine.asked)
                fetch_model(this.spec.model, work["model"], work.folder, *wanted)


if __name__ == "__main__":
    main()
