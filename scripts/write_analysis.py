"""Write the analysis: numbers in sentences, figures inline."""

import json
from pathlib import Path

from fewshot_distillation.analysis.costs import costs
from fewshot_distillation.analysis.jobs import check_jobs
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.config.specs import AnalysisSpec
from fewshot_distillation.runtime.cli import job
from fewshot_distillation.runtime.files import write_text

ARGUMENTS = {
    "summary": "summary.json",
    "results": "results folder, with logs and benchmark files of all jobs",
    "output": "analysis.md",
}


def main() -> None:
    with job(__doc__, AnalysisSpec, ARGUMENTS) as this:
        paths = this.paths
        summary = json.loads(Path(paths.summary).read_text())
        results = Path(paths.results)
        text = write_analysis(this.spec, summary, costs(results), check_jobs(results))
        write_text(Path(paths.output), text)


if __name__ == "__main__":
    main()
