"""The base model with each prompt, and every condition at its chosen checkpoint."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ...config.catalogue import BASE
from ...config.specs import PlotSpec
from ..collect import published_of
from ..measured import Measured, Pooled, pooled
from ..results import CELL
from .style import (
    COLOURS,
    GREY,
    base_models,
    errors,
    hollow,
    legend_below,
    named,
    new_figure,
    plain_text,
    published_legend,
    seeds,
    trained_cells,
)

CAPTION = (
    "Accuracy of the base model with each prompt and of every condition at its chosen checkpoint, with intervals. With "
    "several seeds these account for variation across questions and seeds, and every dot is a seed."
)
RUNS = "chosen"
INPUTS = ("accuracy", "baselines", "published")


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw a bar for each prompt and condition."""
    results = measured.results(spec)
    base = base_models(results, spec.model)
    groups = [results.named(cell) for cell in trained_cells(spec, results)]
    # Of several λ the one that validation chooses is shown, as in the table.
    cells = list(dict.fromkeys(map(results.chosen_group, groups)))
    trained = [pooled(results, cell, results.chosen_steps(cell)) for cell in cells]
    rows, places = [*base, *trained], list(spec.labels)
    names = [plain_text(one.label) for one in base]
    names += [named(spec, one.condition, one.lam, one.label) for one in trained]
    colours = [GREY] * len(base) + [COLOURS[places.index(one.condition) % len(COLOURS)] for one in trained]
    theirs = [
        _published(spec, measured, cell, one)
        for cell, one in zip([*results.base(spec.model), *cells], rows, strict=True)
    ]
    tops = [max(one.high, *one.each) for one in rows]
    ends = [max([top + 0.012, *(part["low"] + 0.02)]) for part, top in zip(theirs, tops, strict=True)]
    figure, (axes,) = new_figure(spec, height=0.12 + 0.065 * len(rows))
    heights, values = range(len(rows)), [one.accuracy for one in rows]
    axes.barh(heights, values, color=colours, alpha=0.85, height=0.62)
    axes.errorbar(values, heights, xerr=errors(rows), fmt="none", ecolor="black", capsize=3, linewidth=1.1)
    for height, one, rings, end in zip(heights, rows, theirs, ends, strict=True):
        hollow(axes, rings["low"], [height] * len(rings), color="black", marker="o")
        if len(one.each) > 1:
            seeds(axes, one.each, [height] * len(one.each), "black")
        axes.text(end, height, _written(one), va="center")
    axes.set_yticks(heights, names)
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, max(ends) + 0.01) * 1.24)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"Accuracy on the test questions ({spec.confidence:.0%} intervals)")
    steps = " or ".join(
        str(step) for step in sorted({s for cell in cells for s in results.chosen_steps(cell).values()})
    )
    axes.set_title(f"{spec.model} after {steps} steps", loc="left")
    if any(len(rings) for rings in theirs):
        published_legend(spec, axes, pd.concat(theirs), measured.tested)
        legend_below(figure)
    return figure


def _written(one: Pooled) -> str:
    """An accuracy in figures, with what it was counted from."""
    counted = f"{one.correct}/{one.n}" if len(one.each) == 1 else f"{len(one.each)} seeds"
    return f"{one.accuracy:.1%}  ({counted})"


def _published(spec: PlotSpec, measured: Measured, cell: tuple, one: Pooled) -> pd.DataFrame:
    """Published accuracies of a bar, at its step; control prompts have none."""
    tested, keys = measured.tested, dict(zip(CELL, cell, strict=True))
    if keys["condition"] == BASE and keys["shots"] and keys["teacher"] not in (None, spec.fewshot):
        tested = tested.iloc[:0]
    same = pd.concat(
        [tested[key].isna() if value is None else tested[key] == value for key, value in keys.items()], axis=1
    )
    found = published_of(measured.published, tested[same.all(axis=1)])
    return found[found["step"] == one.step]
