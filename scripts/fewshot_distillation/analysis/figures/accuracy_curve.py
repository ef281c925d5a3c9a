"""Accuracy against training step, with the untrained model as reference."""

import pandas as pd
from matplotlib.figure import Figure

from ...config.specs import PlotSpec
from .style import by_run, errors, look, new_figure, percent, reference_lines


def draw(spec: PlotSpec, accuracy: pd.DataFrame) -> Figure:
    figure, (axes,) = new_figure(spec)
    trained = accuracy[accuracy["condition"] != "base"]
    several = trained["schedule"].nunique() > 1
    # Conditions stand side by side at each step, so that their error bars don't hide one another.
    conditions = [name for name in spec.labels if name in set(trained["condition"])]
    spread = 0.006 * trained["step"].max()
    for (condition, schedule, seed), part in by_run(trained, "condition", "schedule", "seed"):
        part = part.sort_values("step")
        shift = (conditions.index(condition) - (len(conditions) - 1) / 2) * spread
        first = (schedule, seed) == tuple(trained.loc[trained["condition"] == condition, ["schedule", "seed"]].iloc[0])
        axes.errorbar(
            part["step"] + shift,
            part["accuracy"],
            yerr=errors(part),
            capsize=2,
            linewidth=1.4,
            markersize=4,
            label=spec.labels[condition] if first else None,
            linestyle="-" if not several or schedule == trained["schedule"].iloc[0] else "--",
            **look(spec, condition),
        )
    reference_lines(axes, accuracy)
    percent(axes)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Optimizer step")
    axes.set_title(f"{spec.model}: accuracy while training", loc="left")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3)
    return figure
