"""Files within the page: figures, and the data behind each of them."""

import base64
import struct
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..analysis.collect import read_metrics
from ..config.figures import METRICS, figures

# Columns of metrics.csv that figures of training show.
SHOWN = (
    "step", "loss", "ce", "distillation", "lr", "grad_norm_ce", "grad_norm_distillation", "grad_cosine",
    "condition", "lambda", "seed", "schedule",
)  # fmt: skip
# The data of a figure that would take more than this stay out of the page.
LARGEST = 2_000_000


class Download(NamedTuple):
    """A file as a link offers it."""

    name: str
    address: str
    bytes: int


def offered(name: str, content: bytes, kind: str = "text/csv") -> Download:
    """Return a file that is the page's own, as the address of a link."""
    return Download(name, f"data:{kind};base64,{base64.b64encode(content).decode()}", len(content))


def picture(png: Path) -> tuple[str, int, int]:
    """Return address, width and height in pixels of a figure."""
    content = png.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    return f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height


def data_of(figure: str, results: Path, metrics: list[Path]) -> Download | None:
    """Return the rows that a figure shows, as CSV; None where there are none, or too many.

    Args:
        figure: its path below the results folder, with its model where it has one.
        metrics: metrics.csv of all runs, for figures of training itself.
    """
    _, *folder, file = figure.split("/")
    name = file.removesuffix(".png")
    model = folder[0] if folder else None
    # A figure of a phase 0 comparison has its name behind the figure's.
    declared = next((one for one in sorted(figures(), key=len, reverse=True) if f"{name}_".startswith(f"{one}_")), name)
    source = figures()[declared].table if declared in figures() else name
    if source == METRICS:
        paths = [path for path in metrics if path.parts[-6] == model]
        if not paths:
            return None
        table = read_metrics(paths)
        table = table[[column for column in SHOWN if column in table]]
    else:
        path = results / "tables" / f"{source}.csv"
        if not path.is_file():
            return None
        table = pd.read_csv(path)
        if model and "model" in table:
            table = table[table["model"] == model]
        if not model and "phase" in table:
            table = table[table["phase"] == name.removeprefix(f"{declared}_")]
    content = table.to_csv(index=False).encode()
    return offered(f"{name}{f'-{model}' if model else ''}.csv", content) if 0 < len(content) <= LARGEST else None
