"""Tables and summary.json from everything that the runs left behind."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..config.catalogue import BASE
from ..config.specs import AggregateSpec
from ..runtime.files import atomic_path, write_json
from .collect import read_accuracy, read_judged, read_published
from .published import other_differences, published_vs_measured
from .signal import distillation
from .tables import Comparison, icl_gap, result_columns

TABLES = ("main_comparison", "lambda_sweep", "checkpoint_curve", "icl_gap")


def build_tables(
    spec: AggregateSpec, accuracy: pd.DataFrame, judged: pd.DataFrame, gaps: list[dict]
) -> dict[str, pd.DataFrame]:
    """All tables by name; those about training are empty where nothing was trained."""
    models = list(dict.fromkeys(accuracy.loc[accuracy["condition"] != BASE, "model"]))
    tables = {name: pd.DataFrame(columns=result_columns(spec.scorers)) for name in TABLES}
    tables["icl_gap"] = icl_gap(gaps)
    if models:
        comparison = Comparison(accuracy, judged, spec.labels, spec.plain, spec.confidence, spec.scorers)
        main = {model: {tuple(run) for run in runs} for model, runs in spec.main.items()}
        sweeps = {model: {tuple(run) for run in runs} for model, runs in spec.sweeps.items()}
        tables |= {
            "main_comparison": _stack([comparison.main_comparison(m, main[m]) for m in models]),
            "checkpoint_curve": _stack([comparison.checkpoint_curve(m) for m in models]),
        }
        swept = [comparison.lambda_sweep(model, sweeps[model]) for model in models if sweeps[model]]
        if swept:
            tables["lambda_sweep"] = _stack(swept)
    return {name: _whole_seeds(table) for name, table in tables.items()}


def _stack(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True)


def _whole_seeds(table: pd.DataFrame) -> pd.DataFrame:
    """Seeds as whole numbers, also where untrained models have none."""
    return table.astype({"seed": "Int64"}) if "seed" in table else table


def aggregate(
    spec: AggregateSpec,
    folders: list[Path],
    gaps: list[Path],
    teachers: list[Path],
    signals: list[Path],
    published: list[Path],
    outputs: dict[str, Path],
    dataset: Path | None = None,
) -> None:
    """Write the tables and the summary.

    Args:
        folders: of all runs and baselines, with their accuracy.csv and judged.parquet; those of runs have metrics.csv.
        gaps: phase 0 summaries.
        teachers: JSON files that describe teacher caches, quoted in the summary.
        signals: signal.json of each teacher that a run learns from.
        published: the file of published accuracies, if there is one.
        outputs: where each table and `summary` belong.
        dataset: meta.json of the dataset.
    """
    gap_summaries = [json.loads(path.read_text()) for path in gaps]
    accuracy = read_accuracy([folder / "accuracy.csv" for folder in folders])
    judged = read_judged([folder / "judged.parquet" for folder in folders])
    tables = build_tables(spec, accuracy, judged, gap_summaries)
    beside = {}
    for path in published:
        tables["published_vs_measured"], beside = _published(spec, read_published(path), accuracy, tables["icl_gap"])
    for name, table in tables.items():
        with atomic_path(outputs[name]) as temporary:
            table.to_csv(temporary, index=False)
    manifests = [folder / "checkpoints" / "manifest.json" for folder in folders]
    notes = {str(path): json.loads(path.read_text()) for path in [*teachers, *manifests] if path.exists()}
    audits = [json.loads(path.read_text()) for path in signals]
    metrics = [path for folder in folders if (path := folder / "metrics.csv").exists()]
    if dataset is not None:
        beside["skipped_rows"] = json.loads(dataset.read_text())["skipped"]
    beside |= {"signal": audits, "distillation": distillation(spec, metrics, audits)}
    write_json(outputs["summary"], _summary(spec, tables, gap_summaries, notes) | beside)


def _published(
    spec: AggregateSpec, published: pd.DataFrame, accuracy: pd.DataFrame, gaps: pd.DataFrame
) -> tuple[pd.DataFrame, dict]:
    """The table of published and measured accuracies, and what the summary says about them."""
    phase_zero = gaps.assign(condition=BASE, step=0).reindex(columns=accuracy.columns)
    measured = pd.concat([part for part in (accuracy, phase_zero) if len(part)] or [accuracy], ignore_index=True)
    table = _whole_seeds(published_vs_measured(published, measured, spec.labels, spec.dataset, spec.confidence))
    titles = published.drop_duplicates("table").set_index("table")[["title", "decimals"]].to_dict("index")
    entry = {"tables": titles, "rows": _records(table), "differences": other_differences(published)}
    return table, {"published": entry | {"metric": published["metric"].iloc[0]}}


def _summary(spec: AggregateSpec, tables: dict[str, pd.DataFrame], gaps: list[dict], notes: dict[str, dict]) -> dict:
    digests = ("files", "demonstrations", "cache", "model", "dataset")
    return {
        "metric": spec.metric,
        "scorers": spec.scorers,
        "confidence": spec.confidence,
        "icl_gap": gaps,
        **{name: _records(tables[name]) for name in TABLES if name != "icl_gap"},
        "notes": {path: {k: v for k, v in note.items() if k not in digests} for path, note in notes.items()},
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))
