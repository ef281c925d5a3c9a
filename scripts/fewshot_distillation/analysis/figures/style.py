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

from ...config.catalogue import BASE
from ...config.specs import PlotSpec

# Okabe and Ito's palette; black and grey are kept for the untrained model.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#555555"


def new_figure(spec: PlotSpec, height: float = 0.6, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of the configured width, and as high as this fraction of it."""
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
    """Colour and marker of a condition, the same in every figure."""
    place = list(spec.labels).index(condition)
    # The second time round the colours, every condition gets another marker than the first time.
    return {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[(place + place // 6) % len(MARKERS)]}


def plain_text(text: str) -> str:
    """Text as it stands, in lines that fit a legend: a dollar sign would begin a formula."""
    return textwrap.fill(text, 30).replace("$", r"\$")


def named(spec: PlotSpec, condition: str, lam: float) -> str:
    """A condition's label, with its λ where that isn't the condition's own."""
    other = "" if lam == spec.lambdas[condition] else f", λ = {lam:g}"
    return plain_text(spec.labels[condition] + other)


def legend_below(figure: Figure) -> None:
    """One legend for the figure below its axes, in as many columns as its texts leave room for."""
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


def errors(part: pd.DataFrame) -> list[pd.Series]:
    """Lengths of the error bars below and above."""
    return [(part["accuracy"] - part["low"]).clip(lower=0), (part["high"] - part["accuracy"]).clip(lower=0)]


RING = {"linestyle": "none", "markersize": 8, "markerfacecolor": "none"}


def hollow(axes: Axes, x: Sequence[float], y: Sequence[float], color: str, marker: str) -> None:
    """Published accuracies: rings behind the measured points, of their colour and shape."""
    axes.plot(x, y, color=color, marker=marker, alpha=0.75, zorder=1.8, **RING)


def published_legend(axes: Axes, published: pd.DataFrame, accuracy: pd.DataFrame) -> None:
    """One grey ring for all published points, with their number of questions where it isn't the one measured on."""
    if len(published):
        asked = " or ".join(str(n) for n in sorted(set(published["n"])))
        other = "" if set(published["n"]) == set(accuracy["n"]) else f", on {asked} questions"
        axes.errorbar([], [], color=GREY, marker="o", label=f"published{other}", **RING)


def untrained(shots: int) -> str:
    """What the untrained model is called, with its number of demonstrations."""
    return f"Base · {shots}-shot" if shots == 0 else f"A · {shots}-shot"


def reference_lines(axes: Axes, accuracy: pd.DataFrame) -> None:
    """The untrained model, with its shots, as grey lines with bands of their intervals."""
    base = accuracy[accuracy["condition"] == BASE].sort_values("shots")
    for row, style in zip(base.itertuples(), cycle(("dashed", "dashdot", "dotted", (0, (8, 3)))), strict=False):
        name = f"{untrained(row.shots)} ({row.accuracy:.1%})"
        axes.axhline(row.accuracy, color=GREY, linestyle=style, linewidth=1.2, label=name)
        # Bands of more than two would lie on one another.
        if len(base) <= 2:
            axes.axhspan(row.low, row.high, color=GREY, alpha=0.10, linewidth=0)


def by_run(table: pd.DataFrame, *keys: str) -> Iterator[tuple[tuple, pd.DataFrame]]:
    """Parts of a table for each combination of keys, in the order in which they come."""
    yield from table.groupby(list(keys), sort=False)
