"""Phase 0: accuracy of the candidate base models against the number of demonstrations."""

from matplotlib.figure import Figure

from ...config.specs import PlotSpec
from ..collect import published_of
from ..measured import Measured
from .style import COLOURS, MARKERS, by_run, hollow, legend_below, new_figure, percent, published_legend

CAPTION = "Accuracy of the candidate base models against the number of demonstrations in the prompt."
RUNS = "phase_zero"
INPUTS = ("accuracy", "published")


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw a curve for each model."""
    accuracy = measured.tested.assign(phase=spec.phase)
    figure, (axes,) = new_figure(spec)
    models = list(dict.fromkeys(accuracy["model"]))
    shots = sorted(set(accuracy["shots"]))
    place = {k: n for n, k in enumerate(shots)}
    theirs = published_of(measured.published, accuracy)
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
            yerr=[(part["accuracy"] - part["low"]).clip(lower=0), (part["high"] - part["accuracy"]).clip(lower=0)],
            capsize=3,
            label=f"{model} (gap {100 * gap:+.1f} points)",
            **style,
        )
    published_legend(spec, axes, theirs, accuracy)
    axes.set_xticks(range(len(shots)), [str(k) for k in shots])
    axes.set_xlim(-0.4, len(shots) - 0.6)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Demonstrations in the prompt")
    percent(axes, f"Accuracy on {int(accuracy['n'].iloc[0])} test questions")
    axes.set_title("Base models: what demonstrations in the prompt are worth", loc="left")
    legend_below(figure)
    return figure
