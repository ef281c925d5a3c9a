"""A study on another task than GSM8K's, from the generator to the written analysis."""

import copy
import json

import pandas as pd
import pytest

from project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(made_once, study: Project) -> Project:
    """One condition with a teacher and one without, on questions with choices."""
    config = copy.deepcopy(study.config)
    source = {"generator": "arithmetic_choices", "train": 24, "test": 10, "seed": 1}
    config["datasets"] = {"choices": {"source": source, "task": "multiple_choice"}}
    config["dataset"], config["metric"] = "choices", "flexible"
    del config["icl_gap"]
    config["studies"] = {"main": {"models": ["tiny"], "conditions": ["sft", "layerwise"], "schedules": ["short"]}}
    return Project(made_once("choices", lambda at: Project(at, config).take(study, "models").run("all")), config)


def test_rows_are_questions_with_choices(project: Project):
    row = json.loads(project.path("data", "choices", "train.jsonl").read_text().splitlines()[0])
    assert row["answer"].endswith(f"Answer: {row['reference']}") and row["reference"] in "ABCD"
    assert [line[:3] for line in row["question"].splitlines()[1:]] == ["A. ", "B. ", "C. ", "D. "]


def test_every_answer_is_scored_as_a_letter(project: Project):
    folder = project.path("runs", "tiny", "layerwise", "lambda0.5", "seed42", "short")
    judged = pd.read_parquet(folder / "judged.parquet")
    assert set(judged["reference"]) <= set("ABCD") and len(judged) == 2 * 10
    found = judged["flexible_answer"].dropna()
    assert all(len(letter) == 1 and letter.isupper() for letter in found)
    assert list(judged["flexible"]) == list(judged["flexible_answer"] == judged["reference"])
    assert list(judged["correct"]) == list(judged["flexible"])


def test_the_analysis_says_what_counts_as_right(project: Project):
    assert "An answer counts as right if the letter after `Answer:`" in project.path("analysis.md").read_text()
