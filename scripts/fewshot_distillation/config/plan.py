"""What `snakemake plan` assumes of the machine; no result depends on it."""

from typing import Literal

from pydantic import Field

from .base import Strict

# Peak rates of dense bfloat16 matrices, FLOP/s, from NVIDIA's data sheets.
PEAKS = {"a100": 312e12, "h100": 989e12, "h200": 989e12, "l40s": 362e12, "rtx4090": 165e12}


class Plan(Strict):
    """Assumptions of `snakemake plan`, which prints what a study takes before anything runs."""

    device: Literal[("cpu", *PEAKS)] = Field(
        "a100", description="What computes: a GPU of this kind, or `cpu` for the cores of this machine."
    )
