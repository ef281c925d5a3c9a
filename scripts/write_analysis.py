"""Write the analysis: numbers in sentences, figures inline."""

import json
from pathlib import Path

from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.config.specs import AnalysisSpec
from fewshot_distillation.runtime.cli import job
from fewshot_distillation.runtime.files import write_text

ARGUMENTS = {"summary": "summary.json", "output": "analysis.md"}


def main() -> None:
    with job(__doc__, AnalysisSpec, ARGUMENTS) as this:
        summary = json.loads(Path(this.paths.summary).read_text())
        write_text(Path(this.paths.output), write_analysis(this.spec, summary))


if __name__ == "__main__":
    main()
