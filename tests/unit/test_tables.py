"""Tables of a small study that was written by hand."""

import json
from pathlib import Path

import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from fewshot_distillation.analysis.aggregate import TABLES, aggregate, build_tables
from fewshot_distillation.analysis.collect import last_step, read_accuracy, read_judged, read_metrics
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.analysis.tables import Comparison
from fewshot_distillation.config.specs import AggregateSpec, AnalysisSpec
from study_tables import LABELS, SCORERS, accuracy, judged

MAIN = [("tiny", name, lam, 42, "short") for name, lam in (("sft", 0.0), ("layerwise", 0.5), ("logit_kl", 0.5))]
SWEEP = [("tiny", name, lam, 42, "short") for name, lam in (("sft", 0.0), ("layerwise", 0.1), ("layerwise", 0.5))]
GAP = {
    "phase": "phase0",
    "recommended": "tiny",
    "models": {
        "tiny": {
            "parameters": 5,
            "accuracy": [
                {"shots": 0, "n": 10, "correct": 1, "accuracy": 0.1, "low": 0.0, "high": 0.4},
                {"shots": 8, "n": 10, "correct": 4, "accuracy": 0.4, "low": 0.1, "high": 0.7},
            ],
            "gap": 0.3,
            "gap_ok": True,
            "floor_ok": True,
        }
    },
}


@pytest.fixture
def comparison() -> Comparison:
    return Comparison(accuracy(), judged(), LABELS, "sft", 0.95)


def spec(**changes) -> AggregateSpec:
    given = {
        "dataset": "problems", "labels": LABELS, "conditions": {}, "plain": "sft", "main": {"tiny": MAIN},
        "sweeps": {"tiny": SWEEP}, "confidence": 0.95, "scorers": SCORERS, "metric": "strict",
    }  # fmt: skip
    return AggregateSpec(**given | changes)


def test_main_comparison(comparison: Comparison):
    """Baselines, then each condition at its own λ at the end of training, in the order of the configuration."""
    table = comparison.main_comparison("tiny", set(MAIN))
    assert list(table["label"]) == ["Base · 0-shot", "A · 8-shot", *LABELS.values()]
    assert list(table["correct"]) == [1, 4, 5, 9, 4] and list(table["step"]) == [0, 0, 6, 6, 6]
    assert list(table["lambda"].dropna()) == [0.0, 0.5, 0.5]


def test_differences_from_the_few_shot_prompt(comparison: Comparison):
    table = comparison.main_comparison("tiny", set(MAIN)).set_index("label")
    assert table.loc["C · layer-wise", "vs_fewshot_difference"] == pytest.approx(0.5)
    assert table.loc["Base · 0-shot", "vs_fewshot_difference"] == pytest.approx(-0.3)
    assert pd.isna(table.loc["A · 8-shot", "vs_fewshot_difference"])


def test_differences_from_plain_fine_tuning(comparison: Comparison):
    """Question by question: 5 to 9 right only with C and 0 only with B; McNemar of 5 against 1 gives 0.21875."""
    table = comparison.main_comparison("tiny", set(MAIN)).set_index("label")
    row = table.loc["C · layer-wise"]
    assert row["vs_plain_difference"] == pytest.approx(0.4) and row["vs_plain_p_value"] == pytest.approx(0.21875)
    assert table.loc["D · logit KL", "vs_plain_difference"] == pytest.approx(-0.1)
    assert table.loc[["Base · 0-shot", "A · 8-shot", "B · SFT"], "vs_plain_difference"].isna().all()


def test_correction_counts_the_comparisons_of_the_table(comparison: Comparison):
    table = comparison.checkpoint_curve("tiny")
    tested = table["vs_plain_p_value"].notna()
    assert len(table) == 8 and tested.sum() == 6 and (table.loc[~tested, "condition"] == "sft").all()
    expected = multipletests(table.loc[tested, "vs_plain_p_value"], method="holm")[1]
    assert list(table.loc[tested, "vs_plain_p_holm"]) == pytest.approx(list(expected))
    assert table.loc[~tested, "vs_plain_p_holm"].isna().all()


def test_checkpoints_are_compared_at_their_own_step(comparison: Comparison):
    table = comparison.checkpoint_curve("tiny").set_index(["condition", "lambda", "step"])
    assert table.loc[("layerwise", 0.5, 3), "vs_plain_difference"] == pytest.approx(0.1)
    assert table.loc[("layerwise", 0.5, 6), "vs_plain_difference"] == pytest.approx(0.4)
    assert table.loc[("layerwise", 0.1, 6), "vs_plain_difference"] == pytest.approx(0.0)


def test_lambda_sweep(comparison: Comparison):
    table = comparison.lambda_sweep("tiny", set(SWEEP))
    assert list(zip(table["condition"], table["lambda"], table["correct"], strict=True)) == [
        ("layerwise", 0.1, 5), ("layerwise", 0.5, 9), ("sft", 0.0, 5),
    ]  # fmt: skip


def test_without_plain_fine_tuning_there_is_nothing_to_compare_with():
    table = Comparison(accuracy(), judged(), LABELS, None, 0.95).main_comparison("tiny", set(MAIN))
    assert table[["vs_plain_difference", "vs_plain_p_holm"]].isna().all(axis=None)
    assert table["vs_fewshot_difference"].notna().sum() == 4


def test_without_baselines():
    trained = accuracy().query("condition != 'base'")
    table = Comparison(trained, judged(), LABELS, "sft", 0.95).main_comparison("tiny", set(MAIN))
    assert len(table) == 3 and table["vs_fewshot_difference"].isna().all()


def test_runs_that_answered_other_questions_are_not_compared():
    fewer = judged().query("not (condition == 'layerwise' and question_index == 3)")
    with pytest.raises(ValueError, match="tiny layerwise: compared runs answered different questions"):
        Comparison(accuracy(), fewer, LABELS, "sft", 0.95).checkpoint_curve("tiny")


def test_last_step_of_each_run():
    table = last_step(accuracy())
    assert list(table["step"]) == [0, 0, 6, 6, 6, 6]


def test_build_tables():
    tables = build_tables(spec(), accuracy(), judged(), [GAP])
    assert {name: len(table) for name, table in tables.items()} == {
        "main_comparison": 5, "lambda_sweep": 3, "checkpoint_curve": 8, "icl_gap": 2,
    }  # fmt: skip
    assert list(tables["icl_gap"]["recommended"]) == [True, True]
    assert build_tables(spec(sweeps={"tiny": []}), accuracy(), judged(), [])["lambda_sweep"].empty


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
    read = Comparison(found, right, LABELS, "sft", 0.95).main_comparison("tiny", set(MAIN))
    expected = Comparison(accuracy(), judged(), LABELS, "sft", 0.95).main_comparison("tiny", set(MAIN))
    pd.testing.assert_frame_equal(read, expected, check_dtype=False)


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
    assert "**C · layer-wise, λ = 0.5**: 90.0 % (9 of 10;" in text and "+40.0 points" in text
    assert "can't be told from B · SFT" in text and "differs from B" not in text
    counted = {
        "train": {"rows": 0, "of": 9, "first": []},
        "test": {"rows": 3, "of": 10, "first": ["b.jsonl line 2: x"]},
    }
    checked = write_analysis(AnalysisSpec(figures=figures, plain_label="B · SFT"), summary | {"skipped_rows": counted})
    assert "**3 of 10 rows of the test split were skipped**" in checked and "train split were" not in checked
    assert "10.0 % hold no answer; right are 30.0 % by `strict`" in text, (
        "doubtful answers are named, those of the untrained model too"
    )
    assert "3 of 12 training answers were cut" in text and "a gap of +30.0 points" in text
    assert "![The gap.](figures/icl_gap_phase0.png)" in text and "(figures/tiny/main_comparison.png)" in text
