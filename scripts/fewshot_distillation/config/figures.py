"""What each file of `analysis/figures` declares beside the function that draws.

A file is read and not imported, because whoever plans jobs does so without matplotlib.
"""

import functools
from pathlib import Path
from typing import NamedTuple

from .base import ConfigError, suggest
from .declared import constants

FIGURES = Path(__file__).resolve().parents[1] / "analysis" / "figures"

# The phase 0 comparisons: such a figure is drawn once for each of them, any other once for each model.
PHASE_ZERO = "phase_zero"
# Selections of a model's runs (`Runs.<name>_runs`); a model without such runs has no such figure.
SELECTIONS = ("main", "chosen", "default", "sweep", "size", "gradient")
# `accuracy` is accuracy.csv and judged.parquet of the runs, `baselines` for those of the base model.
INPUTS = ("accuracy", "baselines", "metrics", "published")
# In the place of a table, where the data behind a figure are metrics.csv of all runs.
METRICS = "metrics"


class Figure(NamedTuple):
    """A figure: its caption, the selection of runs that it shows, what it reads, and the table that has its numbers."""

    caption: str
    runs: str
    inputs: tuple[str, ...]
    table: str


@functools.cache
def figures() -> dict[str, Figure]:
    """Return every figure by its file's name, in order: the files that declare CAPTION, RUNS and INPUTS.

    TABLE may be left out where the table has the figure's name.

    Raises:
        ConfigError: a declaration is missing, or names something that doesn't exist.
    """
    found = {}
    for path in sorted(FIGURES.glob("[a-z]*.py")):
        declared = constants(path)
        if "CAPTION" not in declared:
            continue
        if missing := [name for name in ("RUNS", "INPUTS") if name not in declared]:
            raise ConfigError(f"figure '{path.stem}' declares no {missing[0]}; see analysis/figures/loss_curves.py")
        for name, valid in (("RUNS", (*SELECTIONS, PHASE_ZERO)), ("INPUTS", INPUTS)):
            given = declared[name]
            for word in [given] if isinstance(given, str) else given:
                if word not in valid:
                    raise ConfigError(f"figure '{path.stem}': {name} has '{word}'; {suggest(word, valid)}")
        table = declared.get("TABLE", path.stem)
        found[path.stem] = Figure(declared["CAPTION"], declared["RUNS"], tuple(declared["INPUTS"]), table)
    return found
