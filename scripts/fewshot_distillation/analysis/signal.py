"""What training had to learn from: the audit of each teacher, and each run's distillation beside its cross-entropy."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd

from ..config.conditions import QUESTION
from ..config.specs import AggregateSpec
from ..config.targets import POSITIONS, HiddenStatesTarget, LogitsTarget, cached_span
from .collect import read_metrics

Row = dict[str, Any]

# Steps at each end of a run that are averaged: one step's batch is weak evidence about thousands of examples, and at a
# learning rate that is still warming up little has changed after five.
STEPS = 5


def distillation(spec: AggregateSpec, metrics: list[Path], audits: list[dict[str, Any]]) -> list[Row]:
    """Weigh distillation in every run with a teacher; a second row for the reduction that wasn't trained.

    Args:
        metrics: metrics.csv of the runs.
        audits: content of every signal.json.

    Returns:
        For each target of a run: its identity, its teacher, target and position; the `objective`, and whether it is the
        `trained` one; `ce` and `weighted` (λ times distillation) of the first and the last steps as `_start` and
        `_end`. From the audit, at the target's position: for logits `kl` at T = 1 and `kl_at_temperature`, in nats; for
        hidden states `distance`, the mean over layers of the squared distance of normalized states, and `numbers`, how
        many times the reductions are apart.
    """
    known = {(audit["model"], audit["teacher"], audit["text"]): audit for audit in audits}
    rows: list[Row] = []
    for path in metrics:
        table = read_metrics([path])
        name = table["condition"].iloc[0]
        if name in spec.conditions:
            for target in spec.conditions[name].targets:
                run = table.iloc[0][["model", "condition", "lambda", "schedule"]].to_dict()
                run |= {"seed": int(table["seed"].iloc[0]), "label": spec.labels[name], "teacher": target.teacher}
                run |= {"target": target.target, "position": cached_span(target.span)}
                text = QUESTION if target.span in POSITIONS else spec.conditions[name].answers
                audit = known[run["model"], target.teacher, text]
                of_target = _layerwise if target.target == "hidden_states" else _logits
                rows += of_target(run, target, audit, _ends(table))
    return rows


def _logits(run: Row, target: LogitsTarget, audit: dict[str, Any], ends: dict[str, float | None]) -> list[Row]:
    kl, t = audit["positions"][cached_span(target.span)]["kl"], target.temperature
    seen = {"kl": kl["1.0"], "temperature": t, "kl_at_temperature": kl[json.dumps(t)]}
    return [run | {"objective": target.loss, "trained": True} | seen | ends]


def _layerwise(run: Row, target: HiddenStatesTarget, audit: dict[str, Any], ends: dict[str, float | None]) -> list[Row]:
    layers = audit["positions"][cached_span(target.span)]["layers"]
    chosen = range(len(layers["cosine"])) if target.layers == "all" else target.layers
    numbers = len(chosen) * audit["hidden_size"]
    if target.layers != "all" and audit["layers"]:  # of an answer only the layers that are matched are compared
        chosen = [audit["layers"].index(layer) for layer in target.layers]
    total = sum(layers["normalized_distance" if target.normalize else "distance"][layer] for layer in chosen)
    distance = sum(layers["normalized_distance"][layer] for layer in chosen) / len(chosen)
    run = run | {"distance": distance, "numbers": numbers}
    other, value = ("mean", total / numbers) if target.reduction == "sum" else ("sum", total)
    at_start = {"ce_start": ends["ce_start"], "weighted_start": run["lambda"] * value}
    return [
        run | {"objective": target.reduction, "trained": True} | ends,
        run | {"objective": other, "trained": False} | at_start,
    ]


def _ends(table: pd.DataFrame) -> dict[str, float | None]:
    """Cross-entropy (None in a condition without one) and λ times distillation, averaged over the first and over the
    last steps."""
    table = table.sort_values("step").assign(weighted=table["lambda"] * table["distillation"])
    count = min(STEPS, max(1, len(table) // 2))
    means = {"start": table.head(count)[["ce", "weighted"]].mean(), "end": table.tail(count)[["ce", "weighted"]].mean()}
    found = {f"{name}_{end}": float(mean[name]) for end, mean in means.items() for name in ("ce", "weighted")}
    return {name: None if math.isnan(value) else value for name, value in found.items()}
