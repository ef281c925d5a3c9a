"""Tables and summary.json from everything that the runs left behind."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ..config.catalogue import BASE
from ..config.published import load_published
from ..config.specs import AggregateSpec
from ..runtime.files import atomic_path, write_json
from .collect import read_accuracy, read_judged, read_published
from .noise import noise_floor
from .published import other_differences, published_vs_measured
from .results import Results
from .signal import distillation
from .tables import TABLES, comparisons


def build_tables(spec: AggregateSpec, results: Results) -> dict[str, pd.DataFrame]:
    """Build all tables by name; those about training are empty where nothing was trained."""
    modules = {name: import_module(f".tables.{name}", __package__) for name in TABLES}
    return {
        name: _whole(pd.DataFrame(module.rows(results, spec), columns=module.columns(spec)))
        for name, module in modules.items()
    }


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Counts as whole numbers, also where some rows have none."""
    counts = ("seed", "step", "seeds", "questions_needed", "seeds_needed")
    return table.astype({name: "Int64" for name in counts if name in table})


def aggregate(
    spec: AggregateSpec,
    folders: list[Path],
    gaps: list[Path],
    teachers: list[Path],
    signals: list[Path],
    published: list[Path],
    outputs: dict[str, Path],
    dataset: Path | None = None,
    reruns: list[Path] | None = None,
) -> None:
    """Write the tables and the summary.

    Args:
        folders: of all runs and baselines, with their accuracy.csv and judged.parquet; those of runs have metrics.csv,
            and validation/accuracy.csv where there are validation questions.
        gaps: phase 0 summaries.
        teachers: JSON files that describe teacher caches, quoted in the summary.
        signals: signal.json of each teacher that a run learns from.
        published: the file of published accuracies, if there is one.
        outputs: where each table and `summary` belong.
        dataset: meta.json of the dataset.
        reruns: judged.parquet of evaluations that were repeated.
    """
    gap_summaries = [json.loads(path.read_text()) for path in gaps]
    validation = [folder / "validation" / "accuracy.csv" for folder in folders if spec.validation]
    scores = [*(folder / "accuracy.csv" for folder in folders), *(path for path in validation if path.exists())]
    accuracy = read_accuracy(scores)
    judged = read_judged([folder / "judged.parquet" for folder in folders])
    results = Results(accuracy, judged, spec, gap_summaries)
    tables = build_tables(spec, results)
    beside = {"not_compared": comparisons.missing(results, spec)}
    for path in published:
        tables["published_vs_measured"], entry = _published(spec, path, accuracy, tables["icl_gap"])
        beside |= entry
    if reruns:
        # Only runs have checkpoints.
        base = [folder for folder in folders if not (folder / "checkpoints").exists()]
        baselines = [folder / "judged.parquet" for folder in base]
        tables["noise_floor"] = noise_floor(spec, reruns, baselines)
        beside["noise_floor"] = _records(tables["noise_floor"])
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
    spec: AggregateSpec, path: Path, accuracy: pd.DataFrame, gaps: pd.DataFrame
) -> tuple[pd.DataFrame, dict]:
    """The table of published and measured accuracies, and what the summary says about them."""
    file, published = load_published(path), read_published(path)
    # What was published has no validation questions, and its prompts with demonstrations are those of one teacher.
    other = accuracy["teacher"].notna() & (accuracy["shots"] > 0) & (accuracy["teacher"] != spec.fewshot)
    accuracy = accuracy[~other & accuracy["split"].isin(["test"])]
    phase_zero = gaps.assign(condition=BASE, step=0).reindex(columns=accuracy.columns)
    measured = pd.concat([part for part in (accuracy, phase_zero) if len(part)] or [accuracy], ignore_index=True)
    protocols = {name: table.protocol for name, table in file.tables.items()}
    table = published_vs_measured(published, measured, spec.labels, protocols, spec.protocol, spec.confidence)
    about = {
        name: one.model_dump(mode="json", include={"title", "decimals", "rebuilt_by", "caution"})
        for name, one in file.tables.items()
    }
    entry = {"tables": about, "rows": _records(_whole(table)), "differences": other_differences(published)}
    entry["source"] = file.source and file.source.model_dump(mode="json")
    return _whole(table), {
        "published": entry
        | {"remaining": file.remaining, "left_out": file.left_out, "own": spec.protocol.model_dump(mode="json")}
    }


def _summary(spec: AggregateSpec, tables: dict[str, pd.DataFrame], gaps: list[dict], notes: dict[str, dict]) -> dict:
    digests = ("files", "prompts", "answers", "cache", "model", "dataset")
    return {
        "metric": spec.metric,
        "plain": spec.plain,
        "scorers": spec.scorers,
        "confidence": spec.confidence,
        "equivalence_margin": spec.margin,
        "icl_gap": gaps,
        **{name: _records(tables[name]) for name in TABLES if name != "icl_gap"},
        "notes": {path: {k: v for k, v in note.items() if k not in digests} for path, note in notes.items()},
    }


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return json.loads(table.to_json(orient="records"))
