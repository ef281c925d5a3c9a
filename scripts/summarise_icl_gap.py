"""Phase 0: the in-context gap of each candidate model, and which of them to use."""

import json
from pathlib import Path

from fewshot_distillation.config.specs import IclGapSummarySpec
from fewshot_distillation.evaluation.scoring import summarise_icl_gap
from fewshot_distillation.runtime.cli import job
from fewshot_distillation.runtime.files import write_json

ARGUMENTS = {
    "accuracy*": "accuracy.csv of each candidate",
    "judged*": "judged.parquet beside each of them",
    "manifests*": "manifest of each candidate model",
    "output": "summary (JSON)",
}


def main() -> None:
    with job(__doc__, IclGapSummarySpec, ARGUMENTS) as this:
        import pandas as pd

        table = pd.concat([pd.read_csv(path) for path in this.paths.accuracy])
        manifests = [json.loads(Path(path).read_text()) for path in this.paths.manifests]
        parameters = {manifest["model"]["name"]: manifest["parameters"] for manifest in manifests}
        judged = pd.concat([pd.read_parquet(path) for path in this.paths.judged])
        summary = summarise_icl_gap(table, judged, parameters, this.spec.min_gap, this.spec.min_floor)
        write_json(Path(this.paths.output), {"phase": this.spec.phase, **summary})


if __name__ == "__main__":
    main()
