"""Files that lie within the page: figures, and the data behind each of them."""

import base64
import struct
from pathlib import Path
from typing import NamedTuple

import pandas as pd

# The table behind a figure, where it isn't that of the same name.
TABLE_OF = {"accuracy_curve": "checkpoint_curve"}
# The data of a figure that would take more than this stay out of the page.
LARGEST = 2_000_000


class Download(NamedTuple):
    """A file as a link offers it."""

    name: str
    address: str
    bytes: int


def offered(name: str, content: bytes, kind: str = "text/csv") -> Download:
    """A file that is the page's own, as the address of a link."""
    return Download(name, f"data:{kind};base64,{base64.b64encode(content).decode()}", len(content))


def picture(png: Path) -> tuple[str, int, int]:
    """Address, width and height in pixels of a figure."""
    content = png.read_bytes()
    width, height = struct.unpack(">II", content[16:24])
    return f"data:image/png;base64,{base64.b64encode(content).decode()}", width, height


def data_of(figure: str, results: Path, metrics: list[Path]) -> Download | None:
    """The rows that a figure shows, as CSV; None where there are none, or too many.

    Args:
        figure: its path below the results folder, with its model where it has one.
        metrics: metrics.csv of all runs, for figures of training itself.
    """
    _, *folder, file = figure.split("/")
    name = file.removesuffix(".png")
    model = folder[0] if folder else None
    if name in ("loss_curves", "learning_rate"):
        table = _losses([path for path in metrics if path.parts[-6] == model])
    else:
        path = results / "tables" / f"{TABLE_OF.get(name, 'icl_gap' if name.startswith('icl_gap') else name)}.csv"
        if not path.is_file():
            return None
        table = pd.read_csv(path)
        if model and "model" in table:
            table = table[table["model"] == model]
        if name.startswith("icl_gap_") and "phase" in table:
            table = table[table["phase"] == name.removeprefix("icl_gap_")]
    content = table.to_csv(index=False).encode()
    return offered(f"{name}{f'-{model}' if model else ''}.csv", content) if 0 < len(content) <= LARGEST else None


def _losses(paths: list[Path]) -> pd.DataFrame:
    """Losses and learning rates of runs, without what each layer did."""
    parts = []
    for path in paths:
        condition, lam, seed, schedule = path.parts[-5:-1]
        table = pd.read_csv(path)
        kept = [column for column in ("step", "loss", "ce", "distillation", "lr") if column in table]
        run = {"condition": condition, "lambda": lam.removeprefix("lambda"), "seed": seed.removeprefix("seed")}
        parts.append(table[kept].assign(**run, schedule=schedule))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
