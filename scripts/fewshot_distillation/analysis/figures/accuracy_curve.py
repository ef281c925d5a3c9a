"""Accuracy against training step, one panel for each schedule, with the base model as reference."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...config.catalogue import BASE
from ...config.specs import PlotSpec
from ..collect import published_of
from ..measured import Measured, Pooled, pooled
from .style import (
    GREY,
    base_models,
    by_run,
    curve,
    hollow,
    legend_below,
    look,
    named,
    new_figure,
    percent,
    published_legend,
    reference_lines,
    trained_cells,
)

CAPTION = (
    "Accuracy at every checkpoint; grey lines are the base model. With several seeds a line is their mean, the band "
    "its interval over seeds and questions, and every dot a seed."
)
RUNS = "default"
INPUTS = ("accuracy", "baselines", "published")
TABLE = "checkpoint_curve"


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw a panel for each schedule, the shortest first."""
    results = measured.results(spec)
    base, curves = base_models(results, spec.model), {}
    for cell in trained_cells(spec, results):
        steps = sorted({step for _, step in results.cells[cell]})
        part = [pooled(results, cell, results.at_step(cell, step)) for step in steps]
        curves.setdefault(results.name(cell, "schedule"), []).append(part)
    schedules = sorted(curves, key=lambda name: max(part[-1].step for part in curves[name]))
    figure, panels = new_figure(spec, columns=len(schedules))
    theirs = published_of(measured.published, measured.tested)
    top = max(one.high for one in [*base, *(one for parts in curves.values() for part in parts for one in part)])
    for axes, schedule in zip(panels, schedules, strict=True):
        mine = theirs[(theirs["condition"] == BASE) | (theirs["schedule"] == schedule)]
        _panel(spec, axes, curves[schedule], mine)
        reference_lines(axes, base)
        percent(axes)
        # Panels share what they show up to, so that heights compare.
        axes.set_ylim(0, min(1.0, max(top, theirs["high"].max() if len(theirs) else 0.0) + 0.04))
        if len(schedules) > 1:
            axes.set_xlabel(f"Optimizer step, schedule {schedule}")
    for axes in panels[1:]:
        axes.set_ylabel("")
    published_legend(spec, panels[-1], theirs, measured.tested)
    panels[0].set_title(f"{spec.model}: accuracy while training", loc="left")
    legend_below(figure)
    return figure


def _panel(spec: PlotSpec, axes: Axes, curves: list[list[Pooled]], published: pd.DataFrame) -> None:
    """Curves of one schedule, over the published accuracies of the same runs and of the base model."""
    # Conditions are side by side at each step, so that their error bars don't hide one another.
    steps = sorted({one.step for part in curves for one in part})
    width = 0.008 * steps[-1]
    shifts = {part[0].condition: (n - (len(curves) - 1) / 2) * width for n, part in enumerate(curves)}
    for part in curves:
        condition = part[0].condition
        x = [one.step + shifts[condition] for one in part]
        curve(axes, x, part, named(spec, condition, part[0].lam), **look(spec, condition))
    for (condition,), part in by_run(published, "condition"):
        style = {"color": GREY, "marker": "o"} if condition == BASE else look(spec, condition)
        _published(axes, part, shifts.get(condition, 0.0), **style)
    if len(steps) * len(axes.figure.axes) <= 10:
        axes.set_xticks(steps)
    if len(steps) == 1:  # or what is side by side would fill the panel
        left, right = axes.get_xlim()
        axes.set_xlim(min(left, 0.75 * steps[0]), max(right, 1.25 * steps[0]))
    axes.set_xlabel("Optimizer step")


def _published(axes: Axes, part: pd.DataFrame, shift: float, color: str, marker: str) -> None:
    """Rings at the published steps, those of the base model at step 0; an empty box for a range of steps."""
    ranges = part["step"] < part["last_step"]
    hollow(axes, part.loc[~ranges, "step"] + shift, part.loc[~ranges, "low"], color, marker)
    for row in part[ranges].itertuples():
        size = (row.last_step - row.step, row.high - row.low)
        axes.add_patch(Rectangle((row.step, row.low), *size, fill=False, edgecolor=color, alpha=0.75, zorder=1.8))
