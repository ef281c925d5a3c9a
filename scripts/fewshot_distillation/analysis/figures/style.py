"""One look for all figures: colours that colour-blind readers can tell apart, sizes that survive print."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import cycle

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from ...config.specs import PlotSpec
from ..measured import Pooled, pooled
from ..results import Results

# Okabe and Ito's palette; black and grey are kept for the base model.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#555555"


def new_figure(spec: PlotSpec, height: float = 0.6, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Create a figure of the configured width, and as high as this fraction of it."""
    matplotlib.rcParams.update(
        {
            "font.size": spec.font_size,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#DDDDDD",
            "grid.linewidth": 0.6,
            "axes.axisbelow": True,
            "legend.frameon": False,
            "pdf.fonttype": 42,
        }
    )
    figure = Figure(figsize=(spec.width, spec.width * height), layout="constrained")
    return figure, list(figure.subplots(1, columns, squeeze=False)[0])


def look(spec: PlotSpec, condition: str) -> dict[str, str]:
    """Return colour and marker of a condition, the same in every figure."""
    place = list(spec.labels).index(condition)
    # The second time round the colours, every condition gets another marker than the first time.
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[(place + place // 6) % len(MARKERS)]}


def plain_text(text: str) -> str:
    """Wrap text in lines that fit a legend; a dollar sign, which would begin a formula, is escaped."""
    return textwrap.fill(text, 30).replace("$", r"\$")


def named(spec: PlotSpec, condition: str, lam: float, label: str | None = None) -> str:
    """Return a condition's label, or another for it, with its λ where that isn't the condition's own."""
    other = "" if lam == spec.lambdas[condition] else f", λ = {lam:g}"
    return plain_text((label or spec.labels[condition]) + other)


def legend_below(figure: Figure) -> None:
    """Draw one legend for the figure below its axes, in as many columns as its texts leave room for."""
    handles: dict[str, Artist] = {}
    for axes in figure.axes:
        for handle, text in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(text, handle)
    widest = max((len(line) for text in handles for line in text.split("\n")), default=0)
    columns = 3 if widest <= 20 else 2
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns)


def percent(axes: Axes, label: str = "Accuracy on the test questions") -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
    axes.set_ylabel(label)


def errors(part: Sequence[Pooled]) -> list[list[float]]:
    """Return lengths of the error bars below and above."""
    return [[max(one.accuracy - one.low, 0) for one in part], [max(one.high - one.accuracy, 0) for one in part]]


def curve(axes: Axes, x: Sequence[float], part: Sequence[Pooled], label: str | None, **style: str) -> None:
    """Draw accuracies with their intervals: bars for one seed, and for several a band with a dot for every seed."""
    y, several = [one.accuracy for one in part], any(len(one.each) > 1 for one in part)
    if not several:
        axes.errorbar(x, y, yerr=errors(part), capsize=3, linewidth=1.4, markersize=4, label=label, **style)
        return
    axes.plot(x, y, linewidth=1.6, markersize=4, label=label, **style)
    low, high = [one.low for one in part], [one.high for one in part]
    if len(part) > 1:
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
    else:
        axes.errorbar(x, y, yerr=errors(part), capsize=3, fmt="none", ecolor=style["color"])
    for place, one in zip(x, part, strict=True):
        seeds(axes, [place] * len(one.each), one.each, style["color"])


def seeds(axes: Axes, x: Sequence[float], y: Sequence[float], color: str) -> None:
    """Draw a small dot for every seed."""
    axes.plot(x, y, linestyle="none", marker=".", markersize=4, color=color, alpha=0.55, zorder=2.2)


RING = {"linestyle": "none", "markersize": 8, "markerfacecolor": "none"}


def hollow(axes: Axes, x: Sequence[float], y: Sequence[float], color: str, marker: str) -> None:
    """Draw published accuracies: rings behind the measured points, of their colour and shape."""
    axes.plot(x, y, color=color, marker=marker, alpha=0.75, zorder=1.8, **RING)


def published_legend(spec: PlotSpec, axes: Axes, published: pd.DataFrame, accuracy: pd.DataFrame) -> None:
    """Show one grey ring for all published points, with what sets them apart: protocol or number of questions."""
    if len(published):
        asked = " or ".join(str(n) for n in sorted(set(published["n"])))
        other = "" if set(published["n"]) == set(accuracy["n"]) else f", on {asked} questions"
        alike = ", other protocol" if spec.other_protocol else ""
        axes.errorbar([], [], color=GREY, marker="o", label=f"published{alike}{other}", **RING)


def reference_lines(axes: Axes, base: Sequence[Pooled]) -> None:
    """Draw the base model with each of its prompts, as grey lines with bands of their intervals."""
    for one, style in zip(base, cycle(("dashed", "dashdot", "dotted", (0, (8, 3)))), strict=False):
        name = f"{plain_text(one.label)} ({one.accuracy:.1%})"
        axes.axhline(one.accuracy, color=GREY, linestyle=style, linewidth=1.2, label=name)
        # Bands of more than two would overlap.
        if len(base) <= 2:
            axes.axhspan(one.low, one.high, color=GREY, alpha=0.10, linewidth=0)


def base_models(results: Results, model: str) -> list[Pooled]:
    """Return the base model with each of its prompts, by the number of demonstrations."""
    return [pooled(results, cell, results.chosen_steps(cell)) for cell in results.base(model)]


def trained_cells(spec: PlotSpec, results: Results) -> list[tuple]:
    """Return conditions in the order of the configuration, each with its λs ascending and its variants in order."""
    places = list(spec.labels)

    def order(cell: tuple) -> tuple:
        condition, schedule = results.name(cell, "condition"), results.name(cell, "schedule")
        variants = list(spec.variants.get(condition, {}))
        place = variants.index(schedule) if schedule in variants else 0
        return places.index(condition), results.name(cell, "lambda"), place, schedule

    return sorted((cell for cell in results.cells if not results.is_base(cell)), key=order)


def by_run(table: pd.DataFrame, *keys: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Return parts of a table for each combination of keys, in the order in which they come."""
    yield from table.groupby(list(keys), sort=False)
