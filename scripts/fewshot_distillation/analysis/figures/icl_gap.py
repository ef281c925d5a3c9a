"""Phase 0: accuracy of the untrained candidates against the number of demonstrations."""

import pandas as pd
from matplotlib.figure import Figure

from ...config.specs import PlotSpec
from ..collect import published_of
from .style import COLOURS, MARKERS, by_run, errors, hollow, legend_below, new_figure, percent, published_legend


def draw(spec: PlotSpec, accuracy: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    figure, (axes,) = new_figure(spec)
    models = list(dict.fromkeys(accuracy["model"]))
    shots = sorted(set(accuracy["shots"]))
    place = {k: n for n, k in enumerate(shots)}
    theirs = published_of(published, accuracy)
    for (model,), part in by_run(accuracy, "model"):
        part, n = part.sort_values("shots"), models.index(model)
        gap = part["accuracy"].iloc[-1] - part["accuracy"].iloc[0]
        shift = 0.05 * (n - (len(models) - 1) / 2)
        style = {"color": COLOURS[n % len(COLOURS)], "marker": MARKERS[n % len(MARKERS)]}
        points = theirs[(theirs["model"] == model) & theirs["shots"].isin(shots)]
        hollow(axes, points["shots"].map(place) + shift, points["low"], **style)
        axes.errorbar(
            part["shots"].map(place) + shift,
            part["accuracy"],
            yerr=errors(part),
            capsize=3,
            label=f"{model} (gap {100 * gap:+.1f} points)",
            **style,
        )
    published_legend(axes, theirs, accuracy)
    axes.set_xticks(range(len(shots)), [str(k) for k in shots])
    axes.set_xlim(-0.4, len(shots) - 0.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Demonstrations in the prompt")
    percent(axes, f"Accuracy on {int(accuracy['n'].iloc[0])} test questions")
    axes.set_title("Untrained models: what demonstrations in the prompt are worth", loc="left")
    legend_below(figure)
    return figure
