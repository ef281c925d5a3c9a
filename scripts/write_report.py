"""Write the report: one page with the analysis, its figures and data, and every answer."""

import json
from pathlib import Path

from fewshot_distillation.config.specs import ReportSpec
from fewshot_distillation.report.page import build
from fewshot_distillation.runtime.cli import job
from fewshot_distillation.runtime.files import write_text

ARGUMENTS = {
    "analysis": "analysis.md",
    "summary": "summary.json",
    "test": "test.jsonl",
    "folders@": "file that lists the folders of the baselines and runs, in the order in which readers see them",
    "results": "results folder, with tables, figures, logs and notes of all jobs",
    "configuration": "the whole configuration as JSON, for readers",
    "output": "report.html",
}


def main() -> None:
    with job(__doc__, ReportSpec, ARGUMENTS) as this:
        paths = this.paths
        analysis = Path(paths.analysis).read_text(encoding="utf-8")
        summary = json.loads(Path(paths.summary).read_text())
        folders = [Path(folder) for folder in paths.folders]
        configuration = json.loads(paths.configuration)
        page = build(this.spec, configuration, analysis, summary, Path(paths.results), folders, Path(paths.test))
        write_text(Path(paths.output), page)


if __name__ == "__main__":
    main()
