"""The learning rate that each step really had, as the trainer wrote it down."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...config.specs import PlotSpec
from ..measured import Measured
from .style import by_run, legend_below, look, new_figure, plain_text

CAPTION = "The learning rate that each optimizer step really had."
RUNS = "main"
INPUTS = ("metrics",)
TABLE = "metrics"


def draw(spec: PlotSpec, measured: Measured) -> Figure:
    """Draw one line for each course of the learning rate; runs that had the same one share it."""
    figure, (axes,) = new_figure(spec, height=0.4)
    courses: dict[tuple, list[tuple[str, str]]] = {}
    for (condition, schedule, _), part in by_run(measured.metrics, "condition", "schedule", "seed"):
        part = part.sort_values("step")
        named = (plain_text(spec.labels[condition]), schedule, condition)
        runs = courses.setdefault((tuple(part["step"]), tuple(part["lr"])), [])
        if named not in runs:
            runs.append(named)
    for (steps, rates), runs in courses.items():
        labels = list(dict.fromkeys(label for label, _, _ in runs))
        schedules = ", ".join(dict.fromkeys(schedule for _, schedule, _ in runs))
        name = labels[0] if len(labels) == 1 else f"{len(labels)} conditions"
        # One step is a point; more are a line without a mark at each.
        style = look(spec, runs[0][2]) | ({} if len(steps) == 1 else {"marker": ""})
        axes.plot(steps, rates, linewidth=1.3, label=f"{schedules}: {name}", **style)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("Optimizer step")
    axes.set_ylabel("Learning rate")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title(f"{spec.model}: learning rate of every step", loc="left")
    legend_below(figure)
    return figure
