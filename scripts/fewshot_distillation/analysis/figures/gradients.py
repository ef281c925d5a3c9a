"""What cross-entropy and distillation ask of the weights: their gradients' norms, and the cosine between them."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...config.specs import PlotSpec
from ..measured import Measured
from .style import by_run, legend_below, look, named, new_figure

CAPTION = (
    "Gradients of the cross-entropy (solid) and of the weighted distillation loss (dashed) before a step, by their "
    "norms, and the cosine between them; one line a seed. Where a norm is far above the largest gradient norm allowed, "
    "the other loss has next to no influence on the step."
)
RUNS = "gradient"
INPUTS = ("metrics",)
TABLE = "metrics"


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw norms on a logarithmic axis, and cosines, at the steps at which they were measured."""
    figure, (left, right) = new_figure(spec, height=0.46, columns=2)
    shown: set[str] = set()
    for (condition, *_), part in by_run(measured.metrics, "condition", "lambda", "schedule", "seed"):
        # Nothing is measured where several processes share a batch, nor outside the steps of a distillation window.
        if "grad_cosine" not in part or part["grad_cosine"].isna().all():
            continue
        part = part.dropna(subset="grad_cosine").sort_values("step")
        style = look(spec, condition) | {"linewidth": 1.3, "markersize": 3}
        name = None if condition in shown else named(spec, condition, part["lambda"].iloc[0])
        shown.add(condition)
        left.plot(part["step"], part["grad_norm_ce"], label=name, **style)
        left.plot(part["step"], part["grad_norm_distillation"], linestyle="dashed", **style)
        right.plot(part["step"], part["grad_cosine"], **style)
    if left.lines:
        left.set_yscale("log")
    else:
        left.text(0.5, 0.5, "no gradients were measured", ha="center", transform=left.transAxes)
    left.set_ylabel("Gradient norm")
    right.set_ylabel("Cosine of the two gradients")
    right.set_ylim(-1.05, 1.05)
    right.axhline(0, color="black", linewidth=0.8)
    for axes in (left, right):
        axes.set_xlabel("Optimizer step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title(f"{spec.model}: gradients", loc="left")
    legend_below(figure)
    return figure
