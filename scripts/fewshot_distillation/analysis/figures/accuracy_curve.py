"""Accuracy against training step, with the untrained model as reference."""

from itertools import cycle

import pandas as pd
from matplotlib.figure import Figure

from ...config.catalogue import BASE
from ...config.specs import PlotSpec
from .style import by_run, errors, legend_below, look, named, new_figure, percent, reference_lines


def draw(spec: PlotSpec, accuracy: pd.DataFrame) -> Figure:
    figure, (axes,) = new_figure(spec)
    trained = accuracy[accuracy["condition"] != BASE]
    schedules = list(dict.fromkeys(trained["schedule"]))
    strokes = dict(zip(schedules, cycle(("-", "--", ":", "-.")), strict=False))
    # Conditions stand side by side at each step, so that their error bars don't hide one another.
    conditions = [name for name in spec.labels if name in set(trained["condition"])]
    spread = 0.006 * trained["step"].max()
    for (condition, schedule, seed), part in by_run(trained, "condition", "schedule", "seed"):
        part = part.sort_values("step")
        shift = (conditions.index(condition) - (len(conditions) - 1) / 2) * spread
        same = trained[(trained["condition"] == condition) & (trained["schedule"] == schedule)]
        name = named(spec, condition, part["lambda"].iloc[0]) + (f", {schedule}" if len(schedules) > 1 else "")
        axes.errorbar(
            part["step"] + shift,
            part["accuracy"],
            yerr=errors(part),
            capsize=2,
            linewidth=1.4,
            markersize=4,
            label=name if seed == same["seed"].iloc[0] else None,
            linestyle=strokes[schedule],
            **look(spec, condition),
        )
    reference_lines(axes, accuracy)
    percent(axes)
    axes.set_ylim(bottom=0)
    steps = sorted(set(trained["step"]))
    if len(steps) <= 10:
        axes.set_xticks(steps)
    axes.set_xlabel("Optimizer step")
    axes.set_title(f"{spec.model}: accuracy while training", loc="left")
    legend_below(figure)
    return figure
