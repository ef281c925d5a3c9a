"""Cross-entropy and weighted distillation loss while training."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...config.specs import PlotSpec
from ..measured import Measured
from .style import by_run, legend_below, look, named, new_figure

CAPTION = "Cross-entropy on the answers, and the weighted distillation loss on a logarithmic scale; one line a seed."
RUNS = "main"
INPUTS = ("metrics",)
TABLE = "metrics"


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw both losses of every run."""
    metrics = measured.metrics
    figure, (left, right) = new_figure(spec, height=0.46, columns=2)
    window = max(1, round(metrics["step"].max() / 40))
    shown: set[str] = set()
    for (condition, *_), part in by_run(metrics, "condition", "lambda", "schedule", "seed"):
        part = part.sort_values("step")
        colour = look(spec, condition)["color"]
        first = condition not in shown
        shown.add(condition)
        smooth = part.set_index("step").rolling(window, min_periods=1).mean(numeric_only=True)
        name = named(spec, condition, part["lambda"].iloc[0]) if first else None
        left.plot(smooth.index, smooth["ce"], color=colour, linewidth=1.3, label=name)
        if "distillation" in part and (part["lambda"] * part["distillation"]).max() > 0:
            right.plot(smooth.index, smooth["lambda"] * smooth["distillation"], color=colour, linewidth=1.3)
    left.set_ylabel("Cross-entropy (nats per token)")
    right.set_ylabel("λ · distillation loss")
    if right.lines:
        right.set_yscale("log")
    else:
        right.text(0.5, 0.5, "no condition with a teacher", ha="center", transform=right.transAxes)
    for axes in (left, right):
        axes.set_xlabel("Optimizer step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    smoothed = f", mean of {window} steps" if window > 1 else ""
    left.set_title(f"{spec.model}: training losses{smoothed}", loc="left")
    legend_below(figure)
    return figure
