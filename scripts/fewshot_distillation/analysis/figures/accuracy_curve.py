"""Accuracy against training step, one panel for each schedule, with the untrained model as reference."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...config.catalogue import BASE
from ...config.specs import PlotSpec
from ..collect import published_of
from .style import (
    GREY,
    by_run,
    errors,
    hollow,
    legend_below,
    look,
    named,
    new_figure,
    percent,
    published_legend,
    reference_lines,
)


def draw(spec: PlotSpec, accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    trained = accuracy[accuracy["condition"] != BASE]
    schedules = list(trained.groupby("schedule")["step"].max().sort_values(kind="stable").index)
    figure, panels = new_figure(spec, columns=len(schedules))
    theirs = published_of(published, accuracy)
    untrained = accuracy[accuracy["condition"] == BASE]
    for axes, schedule in zip(panels, schedules, strict=True):
        mine = theirs[(theirs["condition"] == BASE) | (theirs["schedule"] == schedule)]
        _panel(spec, axes, trained[trained["schedule"] == schedule], mine)
        reference_lines(axes, untrained)
        percent(axes)
        # Panels share what they show up to, so that heights compare.
        axes.set_ylim(0, min(1.0, max(accuracy["high"].max(), theirs["high"].max() if len(theirs) else 0.0) + 0.04))
        if len(schedules) > 1:
            axes.text(0.98, 0.02, schedule.replace("$", r"\$"), transform=axes.transAxes, ha="right")
    for axes in panels[1:]:
        axes.set_ylabel("")
    published_legend(panels[-1], theirs, accuracy)
    panels[0].set_title(f"{spec.model}: accuracy while training", loc="left")
    legend_below(figure)
    return figure


def _panel(spec: PlotSpec, axes: Axes, trained: pd.DataFrame, published: pd.DataFrame) -> None:
    """Curves of one schedule, over the published accuracies of the same runs and of the untrained model."""
    # Conditions stand side by side at each step, so that their error bars don't hide one another.
    conditions = [name for name in spec.labels if name in set(trained["condition"])]
    spread = 0.008 * trained["step"].max()
    shifts = {name: (n - (len(conditions) - 1) / 2) * spread for n, name in enumerate(conditions)}
    for (condition, seed), part in by_run(trained, "condition", "seed"):
        part = part.sort_values("step")
        same = trained[trained["condition"] == condition]
        axes.errorbar(
            part["step"] + shifts[condition],
            part["accuracy"],
            yerr=errors(part),
            capsize=2,
            linewidth=1.4,
            markersize=4,
            label=named(spec, condition, part["lambda"].iloc[0]) if seed == same["seed"].iloc[0] else None,
            **look(spec, condition),
        )
    for (condition,), part in by_run(published, "condition"):
        style = {"color": GREY, "marker": "o"} if condition == BASE else look(spec, condition)
        _published(axes, part, shifts.get(condition, 0.0), **style)
    steps = sorted(set(trained["step"]))
    if len(steps) * len(axes.figure.axes) <= 10:
        axes.set_xticks(steps)
    axes.set_xlabel("Optimizer step")


def _published(axes: Axes, part: pd.DataFrame, shift: float, color: str, marker: str) -> None:
    """Rings at the published steps, those of the untrained model at step 0; an empty box for a range of steps."""
    ranges = part["step"] < part["last_step"]
    hollow(axes, part.loc[~ranges, "step"] + shift, part.loc[~ranges, "low"], color, marker)
    for row in part[ranges].itertuples():
        size = (row.last_step - row.step, row.high - row.low)
        axes.add_patch(Rectangle((row.step, row.low), *size, fill=False, edgecolor=color, alpha=0.75, zorder=1.8))
