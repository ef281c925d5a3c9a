"""Published accuracies beside the measured ones, from a small study that was written by hand."""

import json
from pathlib import Path

import pandas as pd
import pytest
from test_tables import GAP, spec, write_study

from fewshot_distillation.analysis.aggregate import aggregate
from fewshot_distillation.analysis.collect import read_published
from fewshot_distillation.analysis.narrative import write_analysis
from fewshot_distillation.analysis.published import other_differences, published_vs_measured
from fewshot_distillation.analysis.statistics import independent_difference
from fewshot_distillation.analysis.tables import TABLES
from fewshot_distillation.config.specs import AnalysisSpec
from study_tables import LABELS, accuracy

RUN = {"model": "tiny", "schedule": "short"}
SFT, LAYERWISE = RUN | {"condition": "sft", "lambda": 0}, RUN | {"condition": "layerwise", "lambda": 0.5}
ROWS = [
    {"model": "tiny", "condition": "base", "phase": "phase0", "shots": 8, "percent": 60},
    {"model": "tiny", "condition": "base", "shots": 8, "percent": 50, "correct": 5},
    SFT | {"step": 6, "percent": 60},
    LAYERWISE | {"step": 6, "percent": 70, "difference": 10},
    LAYERWISE | {"step": [3, 6], "percent": [30, 60]},
    LAYERWISE | {"step": 9, "percent": 80},
    SFT | {"model": "huge", "step": 6, "percent": 90},
]
AGAIN = [SFT | {"step": 6, "percent": 50}, LAYERWISE | {"step": 6, "percent": 70, "difference": 21}]


def write_published(folder: Path, n: int = 10, dataset: str = "problems") -> Path:
    against = {"condition": "sft"}
    rows = ROWS if n == 10 else [{key: v for key, v in row.items() if key != "correct"} for row in ROWS]
    tables = {
        "main": {"title": "Main", "n": n, "decimals": 0, "against": against, "rows": rows},
        "curve": {"title": "Curve", "n": n, "decimals": 0, "against": against, "rows": AGAIN},
    }
    path = folder / "published.yaml"
    path.write_text(json.dumps({"dataset": dataset, "tables": tables}))
    return path


def measured() -> pd.DataFrame:
    run = {"phase": "phase0", "model": "tiny", "condition": "base", "step": 0}
    gap = [run | row for row in GAP["models"]["tiny"]["accuracy"]]
    return pd.concat([accuracy(), pd.DataFrame(gap)], ignore_index=True)


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    return published_vs_measured(read_published(write_published(tmp_path)), measured(), LABELS, "problems", 0.95)


def test_every_published_row_has_what_was_measured(table: pd.DataFrame):
    assert list(table["measured"].fillna(-1)) == [0.4, 0.4, 0.5, 0.9, 0.4, -1, -1, 0.5, 0.9]
    assert list(table["label"])[:3] == ["8-shot", "8-shot", "B · SFT"]
    missing = table[table["measured"].isna()]
    assert list(missing["model"]) == ["tiny", "huge"] and set(missing["note"]) == {"not measured yet"}
    assert missing[["seed", "n", "low", "difference", "difference_low"]].isna().all(axis=None)


def test_differences_have_an_interval(table: pd.DataFrame):
    row = table.iloc[3]
    assert row["difference"] == pytest.approx(0.2) and row["published_n"] == row["n"] == 10
    expected = independent_difference((9, 10), (7, 10), 0.95)
    assert (row["difference_low"], row["difference_high"]) == (expected["difference_low"], expected["difference_high"])
    assert row["difference_low"] < 0.2 < row["difference_high"] and row["note"] == ""


def test_newcombe_s_example():
    """Newcombe (1998), method 10, his first example: 56 of 70 against 48 of 80."""
    found = independent_difference((56, 70), (48, 80), 0.95)
    assert found["difference"] == pytest.approx(0.2)
    assert (found["difference_low"], found["difference_high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_range_has_the_lowest_and_the_highest_of_its_checkpoints(table: pd.DataFrame):
    row = table.iloc[4]
    assert (row["step"], row["last_step"], row["published"], row["published_high"]) == (3, 6, 0.3, 0.6)
    assert (row["measured"], row["measured_high"]) == (0.4, 0.9) and pd.isna(row["difference"])
    assert row["note"] == "2 checkpoints measured in this range"


def test_every_seed_is_a_row(tmp_path: Path):
    both = pd.concat([measured(), measured().query("condition == 'sft'").assign(seed=43)], ignore_index=True)
    table = published_vs_measured(read_published(write_published(tmp_path)), both, LABELS, "problems", 0.95)
    assert list(table.loc[table["condition"].eq("sft") & table["table"].eq("main"), "seed"].dropna()) == [42, 43]


def test_other_questions_are_not_compared_in_silence(tmp_path: Path):
    more = published_vs_measured(
        read_published(write_published(tmp_path, n=100)), measured(), LABELS, "problems", 0.95
    ).iloc[2]
    assert (more["published_n"], more["n"]) == (100, 10)
    assert more["note"] == "other questions: published on 100, measured on 10"
    theirs = read_published(write_published(tmp_path, dataset="gsm8k"))
    other = published_vs_measured(theirs, measured(), LABELS, "problems", 0.95)
    assert other["difference"].isna().all()
    assert other.iloc[2]["note"] == "other questions: published on gsm8k, measured on problems"


def test_without_anything_measured(tmp_path: Path):
    theirs = read_published(write_published(tmp_path))
    table = published_vs_measured(theirs, accuracy().iloc[:0], LABELS, "problems", 0.95)
    assert len(table) == 9 and table["measured"].isna().all()


def test_printed_differences_are_checked(tmp_path: Path):
    found = other_differences(read_published(write_published(tmp_path)))
    assert found == {"printed": 2, "other": 1, "largest": 1}


def test_analysis_holds_every_row(tmp_path: Path):
    folders, gap = write_study(tmp_path), tmp_path / "phase0.json"
    gap.write_text(json.dumps(GAP))
    outputs = {name: tmp_path / f"{name}.csv" for name in (*TABLES, "published_vs_measured", "summary")}
    aggregate(spec(), folders, [gap], [], [], [write_published(tmp_path)], outputs)
    assert len(pd.read_csv(outputs["published_vs_measured"])) == 9
    summary = json.loads(outputs["summary"].read_text())
    text = write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), summary)
    assert "scored with the metric" not in text
    lenient = write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), summary | {"metric": "flexible"})
    assert "were scored with the metric `strict`, those measured here with `flexible`" in lenient
    assert "7 of these 9 rows are measured so far." in text
    assert "| tiny, C · layer-wise, λ = 0.5, short, step 6 | 70 % of 10 | 90.0 % of 10 (" in text
    assert "| tiny, C · layer-wise, λ = 0.5, short, steps 3 to 6 | 30 to 60 % of 10 | 40.0 to 90.0 % of 10;" in text
    assert "| huge, B · SFT, λ = 0, short, step 6 | 90 % of 10 | not measured yet |  |" in text
    assert (
        "The study disagrees with itself, and every number is kept as printed: tiny, B · SFT, λ = 0, short, step 6 is "
        "60 % in “Main” and 50 % in “Curve”; 1 of 2 printed differences aren't those of the accuracies printed beside "
        "them, by at most 1 in the last decimal." in text
    )


def test_without_published_accuracies_there_is_no_section(tmp_path: Path):
    folders = write_study(tmp_path)
    outputs = {name: tmp_path / f"{name}.csv" for name in (*TABLES, "summary")}
    aggregate(spec(), folders, [], [], [], [], outputs)
    summary = json.loads(outputs["summary"].read_text())
    assert "published" not in summary
    assert "Published" not in write_analysis(AnalysisSpec(figures={}, plain_label="B · SFT"), summary)
