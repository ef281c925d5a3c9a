"""Draw one figure, as PNG and PDF."""

import importlib
from pathlib import Path

from fewshot_distillation.analysis.measured import read
from fewshot_distillation.config.specs import PlotSpec
from fewshot_distillation.runtime.cli import job
from fewshot_distillation.runtime.files import atomic_path

ARGUMENTS = {
    "accuracy*": "accuracy.csv files to draw, each with judged.parquet beside it",
    "metrics*": "metrics.csv files to draw",
    "published*": "the file of published accuracies to draw behind them, if there is one",
    "png": "the figure for screens",
    "pdf": "the figure for print",
}


def main() -> None:
    with job(__doc__, PlotSpec, ARGUMENTS) as this:
        spec, paths = this.spec, this.paths
        draw = importlib.import_module(f"fewshot_distillation.analysis.figures.{spec.figure}").draw
        figure = draw(spec, read(paths.accuracy, paths.metrics, paths.published))
        for path in (Path(paths.png), Path(paths.pdf)):
            # Without the time of drawing, the same numbers give the same bytes.
            stamp = {"CreationDate": None} if path.suffix == ".pdf" else {}
            with atomic_path(path) as temporary:
                figure.savefig(temporary, dpi=spec.dpi, metadata=stamp)


if __name__ == "__main__":
    main()
