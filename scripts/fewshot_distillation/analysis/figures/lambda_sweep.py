"""Accuracy at the chosen checkpoint against the weight λ of the distillation term."""

from matplotlib.figure import Figure

from ...config.specs import PlotSpec
from ..collect import last_step, published_of
from ..measured import Measured, pooled
from .style import (
    GREY,
    by_run,
    curve,
    hollow,
    legend_below,
    look,
    new_figure,
    percent,
    plain_text,
    published_legend,
    trained_cells,
)

CAPTION = (
    "Accuracy at the chosen checkpoint against the weight λ; a dashed line is plain fine-tuning. With several seeds a "
    "line is their mean, the band its interval over seeds and questions, and every dot a seed."
)
RUNS = "sweep"
INPUTS = ("accuracy", "published")


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw a curve for each condition that is swept."""
    figure, (axes,) = new_figure(spec)
    results = measured.results(spec)
    cells = trained_cells(spec, results)
    # The condition that is swept has λ above 0; plain fine-tuning has none and is the reference.
    swept = {results.name(cell, "condition") for cell in cells if results.name(cell, "lambda") > 0}
    several = len({results.name(cell, "schedule") for cell in cells}) > 1
    lambdas = sorted({results.name(cell, "lambda") for cell in cells if results.name(cell, "condition") in swept})
    # λ is a list of a few values, so they are evenly spaced, whatever their size.
    place = {lam: n for n, lam in enumerate(lambdas)}
    curves: dict[tuple, list] = {}
    for cell in cells:
        one, schedule = pooled(results, cell, results.chosen_steps(cell)), results.name(cell, "schedule")
        if one.condition in swept:
            curves.setdefault((one.condition, schedule), []).append(one)
            continue
        name = f"{plain_text(spec.labels[one.condition])} ({one.accuracy:.1%})"
        axes.axhline(one.accuracy, color=GREY, linestyle="dashed", linewidth=1.2, label=name)
        axes.axhspan(one.low, one.high, color=GREY, alpha=0.12, linewidth=0)
    for (condition, schedule), part in curves.items():
        name = plain_text(spec.labels[condition] + (f", {schedule}" if several else ""))
        curve(axes, [place[one.lam] for one in part], part, name, **look(spec, condition))
    final = last_step(measured.tested)
    theirs = published_of(measured.published, final)
    theirs = theirs[theirs["step"].isin(set(final["step"]))]
    for (condition,), part in by_run(theirs, "condition"):
        # Plain fine-tuning has no place on the axis; its rings are at the left end of its line.
        plain = condition not in swept
        x = [-0.4] * len(part) if plain else part["lambda"].map(place)
        hollow(axes, x, part["low"], **({"color": GREY, "marker": "o"} if plain else look(spec, condition)))
    published_legend(spec, axes, theirs, final)
    axes.set_xticks(range(len(lambdas)), [f"{lam:g}" for lam in lambdas])
    axes.set_xlim(-0.5, len(lambdas) - 0.5)
    axes.set_xlabel("Distillation weight λ")
    percent(axes)
    axes.set_title(f"{spec.model}: accuracy against λ", loc="left")
    legend_below(figure)
    return figure
