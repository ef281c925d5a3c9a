"""What a study left behind: how it is read, its summary, and its analysis in words."""

import json
from pathlib import Path

import pandas as pd
import pytest

from built_tables import GAP, spec, tables
from fewshot_distillation.analysis.aggregate import aggregate
from fewshot_distillation.analysis.collect import read_accuracy, read_judged, read_metrics
from fewshot_distillation.analysis.method import _recipe
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.analysis.tables import TABLES
from fewshot_distillation.config.catalogue import Training
from fewshot_distillation.config.specs import AnalysisSpec
from study_tables import accuracy, judged


def write_study(folder: Path) -> list[Path]:
    """Folders of every run and baseline, with the columns that each kind of run has."""
    keys = ["condition", "lambda", "seed", "schedule", "shots"]
    scores = accuracy().drop(columns="phase").groupby(keys, dropna=False)
    answers = dict(list(judged().groupby(keys, dropna=False)))
    folders = []
    for number, (key, part) in enumerate(scores):
        folders.append(folder / str(number))
        folders[-1].mkdir()
        part.dropna(axis=1, how="all").to_csv(folders[-1] / "accuracy.csv", index=False)
        rows = next(rows for other, rows in answers.items() if str(other) == str(key))
        rows.dropna(axis=1, how="all").to_parquet(folders[-1] / "judged.parquet", index=False)
    (folders[-1] / "checkpoints").mkdir()
    note = {"examples": 12, "truncated": 3, "files": {"x": 1}}
    (folders[-1] / "checkpoints" / "manifest.json").write_text(json.dumps(note))
    return folders


def test_reading_what_runs_left_behind(tmp_path: Path):
    folders = write_study(tmp_path)
    found = read_accuracy([folder / "accuracy.csv" for folder in folders])
    right = read_judged([folder / "judged.parquet" for folder in folders])
    assert len(found) == 10 and len(right) == 100 and {"lambda", "seed", "schedule", "phase"} <= set(found)
    for name, table in tables(found, right).items():
        pd.testing.assert_frame_equal(table, tables()[name], check_dtype=False)


def test_metrics_carry_the_run_of_their_folder(tmp_path: Path):
    path = tmp_path / "runs" / "tiny" / "layerwise" / "lambda0.5" / "seed7" / "short" / "metrics.csv"
    path.parent.mkdir(parents=True)
    path.write_text("step,ce\n1,2.5\n")
    row = read_metrics([str(path)]).iloc[0]
    assert (row["condition"], row["lambda"], row["seed"], row["schedule"]) == ("layerwise", 0.5, 7, "short")


@pytest.fixture
def summary(tmp_path: Path) -> dict:
    folders, gap, teacher = write_study(tmp_path), tmp_path / "phase0.json", tmp_path / "meta.json"
    gap.write_text(json.dumps(GAP))
    tokens = {"mean": 50.0, "max": 60}
    teacher.write_text(json.dumps({"cache": "0", "prompt_tokens": tokens, "truncated": 0}))
    outputs = {name: tmp_path / f"{name}.csv" for name in TABLES} | {"summary": tmp_path / "summary.json"}
    aggregate(spec(), folders, [gap], [teacher], [], [], outputs)
    assert len(pd.read_csv(outputs["main_comparison"])) == 5
    return json.loads(outputs["summary"].read_text())


def test_summary(summary: dict):
    assert summary["icl_gap"] == [GAP] and len(summary["checkpoint_curve"]) == 8
    teacher, run = summary["notes"].values()
    assert run == {"examples": 12, "truncated": 3} and "cache" not in teacher


def test_analysis_in_words(summary: dict):
    figures = {"figures/icl_gap_phase0.png": "The gap.", "figures/tiny/main_comparison.png": "All of them."}
    text = write_analysis(AnalysisSpec(figures=figures, plain_label="B · SFT"), summary)
    assert "| C · layer-wise | 0.5 | 9 of 10 | 90.0 % |" in text and "| +40.0 (" in text
    answer = text.split("\n\n")[2]
    assert answer.startswith("**C · layer-wise**, the best of 2 conditions compared, answers 90.0 % correctly (")
    assert "**not distinguishable** from B · SFT with 50.0 % (+40.0 points, 95 % interval " in answer
    assert "The base model tiny answers 10.0 % correctly (" in answer and answer.count(". ") == 2, "three sentences"
    assert "The last checkpoint of every run is compared" in text
    assert "- **C · layer-wise against B · SFT**: Not distinguishable at this size:" in text
    counted = {
        "train": {"rows": 0, "of": 9, "first": []},
        "test": {"rows": 3, "of": 10, "first": ["b.jsonl line 2: x"]},
    }
    checked = write_analysis(AnalysisSpec(figures=figures, plain_label="B · SFT"), summary | {"skipped_rows": counted})
    assert "**3 of 10 rows of the test split were skipped**" in checked and "train split were" not in checked
    assert "| Base · 0-shot | 10.0 % | 10.0 % | 20.0 % | 10.0 % |" in text
    assert "cut or contain no answer** for Base · 0-shot, A · 8-shot, B · SFT," in text, "doubtful answers are named"
    assert "This is so for 8 of all 8 checkpoints" in text
    assert "3 of 12 training answers were cut" in text and "a gap of +30.0 points" in text
    assert "(`evaluation.max_new_tokens`) account for +20.0 of its +30.0 points" in text
    assert "| tiny | 0 | 1 of 10 | 10.0 % | 0.0 to 40.0 % | 10.0 % | 20.0 % | 20.0 % | 10.0 % |" in text
    assert "![The gap.](figures/icl_gap_phase0.png)" in text and "(figures/tiny/main_comparison.png)" in text


def test_a_comparison_without_results_is_named(summary: dict, tmp_path: Path):
    """And not only absent from a table that nobody counts."""
    assert summary["not_compared"] == []
    families = {"a": [("layerwise", "sft")], "controls": [("layerwise", "elsewhere")]}
    outputs = {name: tmp_path / f"{name}.csv" for name in TABLES} | {"summary": tmp_path / "other.json"}
    folders = sorted({path.parent for path in tmp_path.rglob("accuracy.csv")})
    aggregate(spec(families=families), folders, [], [], [], [], outputs)
    found = json.loads(outputs["summary"].read_text())
    text = write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), found)
    assert "**C · layer-wise and elsewhere (`comparisons.controls`) were not compared**" in text
    assert text.count("were not compared") == 1


@pytest.mark.parametrize(("optimizer", "said"), [("adamw", "AdamW"), ("sgd", "SGD with momentum 0.9")])
def test_the_method_names_the_optimizer(optimizer: str, said: str):
    recipe = Training(optimizer=optimizer).model_dump()
    assert f", {said} at a learning rate of up to 0.0002" in _recipe("default", recipe, 1)
