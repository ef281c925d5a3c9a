"""Tables and summary.json from everything that the runs left behind."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..config.specs import AggregateSpec
from ..runtime.files import atomic_path, write_json
from .collect import read_accuracy, read_judged
from .tables import Comparison, icl_gap

TABLES = ("main_comparison", "lambda_sweep", "checkpoint_curve", "icl_gap")


def build_tables(
    spec: AggregateSpec, accuracy: pd.DataFrame, judged: pd.DataFrame, gaps: list[dict]
) -> dict[str, pd.DataFrame]:
    """All tables by name."""
    comparison = Comparison(accuracy, judged, spec.labels, spec.plain, spec.confidence)
    models = list(dict.fromkeys(accuracy.loc[accuracy["condition"] != "base", "model"]))
    sweeps = {model: {tuple(run) for run in runs} for model, runs in spec.sweeps.items()}
    return {
        "main_comparison": _stack([comparison.main_comparison(m, spec.default_lambda) for m in models]),
        "lambda_sweep": _stack([comparison.lambda_sweep(m, sweeps[m]) for m in models if sweeps.get(m)]),
        "checkpoint_curve": _stack([comparison.checkpoint_curve(m) for m in models]),
        "icl_gap": icl_gap(gaps),
    }


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def aggregate(
    spec: AggregateSpec,
    accuracy: list[str],
    judged: list[str],
    gaps: list[str],
    notes: list[str],
    outputs: dict[str, Path],
) -> None:
    """Write the tables and the summary.

    Args:
        accuracy, judged: of all runs and baselines.
        gaps: phase 0 summaries.
        notes: JSON files that describe teacher caches and training runs, quoted in the summary.
        outputs: where each table and `summary` belong.
    """
    gap_summaries = [json.loads(Path(path).read_text()) for path in gaps]
    tables = build_tables(spec, read_accuracy(accuracy), read_judged(judged), gap_summaries)
    for name in TABLES:
        with atomic_path(outputs[name]) as temporary:
            tables[name].to_csv(temporary, index=False)
    write_json(outputs["summary"], _summary(spec, tables, gap_summaries, notes))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))


def _summary(spec: AggregateSpec, tables: dict[str, pd.DataFrame], gaps: list[dict], notes: list[str]) -> dict:
    return {
        "metric": spec.metric,
        "confidence": spec.confidence,
        "icl_gap": gaps,
        **{name: _records(tables[name]) for name in TABLES if name != "icl_gap"},
        "notes": {path: _without_digests(json.loads(Path(path).read_text())) for path in notes},
    }


def _without_digests(note: dict) -> dict:
    return {key: value for key, value in note.items() if key not in ("files", "prompts", "cache", "model", "dataset")}
