"""The untrained model and every condition at the end of training."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ...config.catalogue import BASE
from ...config.specs import PlotSpec
from ..collect import last_step, published_of
from .style import COLOURS, GREY, errors, hollow, legend_below, named, new_figure, published_legend, untrained


def draw(spec: PlotSpec, accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    base = accuracy[accuracy["condition"] == BASE].sort_values("shots")
    final = last_step(accuracy[accuracy["condition"] != BASE])
    places = {name: n for n, name in enumerate(spec.labels)}
    final = final.sort_values(["condition", "seed"], key=lambda c: c.map(places) if c.name == "condition" else c)
    several = final["seed"].nunique() > 1
    names = [untrained(shots) for shots in base["shots"]]
    names += [
        named(spec, r.condition, r.lam) + (f", seed {r.seed:.0f}" if several else "")
        for r in final.rename(columns={"lambda": "lam"}).itertuples()
    ]
    colours = [GREY] * len(base) + [COLOURS[places[c] % len(COLOURS)] for c in final["condition"]]
    rows = pd.concat([base, final], ignore_index=True)
    theirs = [published_of(published, row) for row in (rows.iloc[[n]] for n in range(len(rows)))]
    theirs = [part[part["step"] == step] for part, step in zip(theirs, rows["step"], strict=True)]
    ends = [max([high + 0.012, *(part["low"] + 0.02)]) for part, high in zip(theirs, rows["high"], strict=True)]
    figure, (axes,) = new_figure(spec, height=0.12 + 0.065 * len(rows))
    heights = range(len(rows))
    axes.barh(heights, rows["accuracy"], color=colours, alpha=0.85, height=0.62)
    axes.errorbar(rows["accuracy"], heights, xerr=errors(rows), fmt="none", ecolor="black", capsize=3, linewidth=1.1)
    for height, row, rings, end in zip(heights, rows.itertuples(), theirs, ends, strict=True):
        hollow(axes, rings["low"], [height] * len(rings), color="black", marker="o")
        axes.text(end, height, f"{row.accuracy:.1%}  ({row.correct}/{row.n})", va="center")
    axes.set_yticks(heights, names)
    axes.invert_yaxis()
    axes.set_xlim(0, min(1.0, max(ends) + 0.01) * 1.24)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"Accuracy on the test questions ({spec.confidence:.0%} intervals)")
    steps = " or ".join(str(step) for step in sorted(set(final["step"])))
    axes.set_title(f"{spec.model} after {steps} steps", loc="left")
    if any(len(rings) for rings in theirs):
        published_legend(axes, pd.concat(theirs), rows)
        legend_below(figure)
    return figure
