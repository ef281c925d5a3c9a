"""Accuracy at the end of training against the weight λ of the distillation term."""

import pandas as pd
from matplotlib.figure import Figure

from ...config.specs import PlotSpec
from ..collect import last_step, published_of
from .style import GREY, by_run, errors, hollow, legend_below, look, new_figure, percent, plain_text, published_legend


def draw(spec: PlotSpec, accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    figure, (axes,) = new_figure(spec)
    final = last_step(accuracy)
    # The condition that is swept has λ above 0; plain fine-tuning has none and is the reference.
    swept = final["condition"].isin(set(final.loc[final["lambda"] > 0, "condition"]))
    lambdas = sorted(set(final.loc[swept, "lambda"]))
    # λ is a list of a few values, so they stand evenly spaced, whatever their size.
    place = {lam: n for n, lam in enumerate(lambdas)}
    for row in final[~swept].itertuples():
        name = f"{plain_text(spec.labels[row.condition])} ({row.accuracy:.1%})"
        axes.axhline(row.accuracy, color=GREY, linestyle="dashed", linewidth=1.2, label=name)
        axes.axhspan(row.low, row.high, color=GREY, alpha=0.12, linewidth=0)
    for (condition, schedule, seed), part in by_run(final[swept], "condition", "schedule", "seed"):
        part = part.sort_values("lambda")
        several = final["schedule"].nunique() > 1 or final["seed"].nunique() > 1
        name = plain_text(spec.labels[condition]) + (f", {schedule}, seed {seed:.0f}" if several else "")
        axes.errorbar(
            part["lambda"].map(place),
            part["accuracy"],
            yerr=errors(part),
            capsize=3,
            label=name,
            **look(spec, condition),
        )
    theirs = published_of(published, final)
    theirs = theirs[theirs["step"].isin(set(final["step"]))]
    for (condition,), part in by_run(theirs, "condition"):
        # Plain fine-tuning has no place on the axis; its rings stand at the left end of its line.
        plain = condition not in set(final.loc[swept, "condition"])
        x = [-0.4] * len(part) if plain else part["lambda"].map(place)
        hollow(axes, x, part["low"], **({"color": GREY, "marker": "o"} if plain else look(spec, condition)))
    published_legend(axes, theirs, final)
    axes.set_xticks(range(len(lambdas)), [f"{lam:g}" for lam in lambdas])
    axes.set_xlim(-0.5, len(lambdas) - 0.5)
    axes.set_xlabel("Distillation weight λ")
    percent(axes)
    axes.set_title(f"{spec.model}: accuracy against λ", loc="left")
    legend_below(figure)
    return figure
