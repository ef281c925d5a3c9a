"""Accuracy at the chosen checkpoint against the number of training examples."""

from matplotlib.figure import Figure

from ...config.specs import PlotSpec
from ..measured import Measured, pooled
from .style import (
    base_models,
    curve,
    legend_below,
    look,
    new_figure,
    percent,
    plain_text,
    reference_lines,
    trained_cells,
)

CAPTION = (
    "Accuracy at the chosen checkpoint against the number of training examples, each a seeded subset; grey lines are "
    "the base model. With several seeds a line is their mean, the band its interval, and every dot a seed."
)
RUNS = "size"
INPUTS = ("accuracy", "baselines")
TABLE = "main_comparison"


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw a curve for each condition; sizes are few, so they are evenly spaced."""
    figure, (axes,) = new_figure(spec)
    results = measured.results(spec)
    # Runs on all examples name no number of them.
    trained = measured.tested.dropna(subset="schedule").drop_duplicates("schedule").set_index("schedule")
    sizes = trained["train_examples"].fillna(float("inf")).to_dict()
    places = {size: place for place, size in enumerate(sorted(set(sizes.values())))}
    curves: dict[tuple, list[tuple[float, tuple]]] = {}
    for cell in trained_cells(spec, results):
        schedule = results.name(cell, "schedule")
        family = "@".join(part for part in schedule.split("@") if part != f"n{sizes[schedule]:.0f}")
        curves.setdefault((results.name(cell, "condition"), family), []).append((sizes[schedule], cell))
    several = len({family for _, family in curves}) > 1
    for number, ((condition, family), points) in enumerate(curves.items()):
        points.sort()
        # Conditions are side by side, so that their error bars don't hide one another.
        shift = 0.04 * (number - (len(curves) - 1) / 2)
        part = [pooled(results, cell, results.chosen_steps(cell)) for _, cell in points]
        name = plain_text(spec.labels[condition] + (f", {family}" if several else ""))
        curve(axes, [places[size] + shift for size, _ in points], part, name, **look(spec, condition))
    reference_lines(axes, base_models(results, spec.model))
    axes.set_xticks(range(len(places)), ["all" if size == float("inf") else f"{size:g}" for size in places])
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Training examples")
    percent(axes)
    axes.set_title(f"{spec.model}: accuracy against training examples", loc="left")
    legend_below(figure)
    return figure
