"""Fetch a model from its source and write it as safetensors with a manifest."""

import json
from pathlib import Path

from fewshot_distillation.config.specs import FetchModelSpec
from fewshot_distillation.runtime.cli import job

ARGUMENTS = {
    "files*": "files of this machine that the source reads",
    "layers": "JSON: for each model the layers that conditions match",
    "state": "folder of unfinished work",
    "output": "folder of the model",
}


def main() -> None:
    with job(__doc__, FetchModelSpec, ARGUMENTS, network=True) as this:
        from fewshot_distillation.data.models import fetch_model

        with this.workspace({"model": Path(this.paths.output)}, inputs=list(map(Path, this.paths.files))) as work:
            if work:
                layers = json.loads(this.paths.layers).get(this.spec.model.name, [])
                fetch_model(this.spec.model, work["model"], work.folder, layers)


if __name__ == "__main__":
    main()
