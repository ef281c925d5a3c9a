"""A study with published accuracies: what naming them adds, and that it computes nothing again."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from project import Project

DRAWN = {"plot_main_comparison", "plot_accuracy_curve", "plot_lambda_sweep", "plot_icl_gap"}
OF_TRAINING = {"plot_loss_curves", "plot_learning_rate"}
TRAINED = {"model": "tiny", "condition": "layerwise", "lambda": 0.5, "schedule": "short"}
ROWS = [
    {"model": "tiny", "condition": "base", "phase": "phase0", "shots": 4, "percent": 40},
    {"model": "tiny", "condition": "base", "shots": 4, "percent": 30},
    TRAINED | {"step": 4, "percent": 60},
    TRAINED | {"step": [2, 4], "percent": [40, 60]},
    TRAINED | {"model": "huge", "step": 4, "percent": 90},
]


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished study that names a file of published accuracies."""
    project = Project(tmp_path, finished.config | {"published": "theirs.yaml"}).take(finished)
    write(project)
    return project


def write(project: Project, dataset: str = "problems", n: int = 10) -> None:
    tables = {"main": {"title": "Main", "n": n, "decimals": 0, "rows": ROWS}}
    (project.folder / "theirs.yaml").write_text(json.dumps({"dataset": dataset, "tables": tables}))


def test_published_accuracies_beside_measured_ones(project: Project):
    assert set(project.planned("all")) == {"aggregate", "write_analysis", "write_report", "all", *DRAWN}
    project.run("all")
    table = pd.read_csv(project.path("tables", "published_vs_measured.csv"))
    assert list(table["measured"].notna()) == [True, True, True, True, False]
    run = pd.read_csv(project.path("runs", "tiny", "layerwise", "lambda0.5", "seed42", "short", "accuracy.csv"))
    assert table["measured"][2] == run.set_index("step")["accuracy"][4]
    assert table["n"][0] == 6 and "published on 10, measured on 6" in table["note"][0], "phase 0 asks fewer questions"
    text = project.path("analysis.md").read_text()
    assert "## Published and measured" in text
    assert "4 of 5 rows are part of this study, and 4 of them are measured so far." in text
    assert list(table["protocol"].fillna("")) == ["unknown"] * 4 + [""] and table["verdict"].isna().all()
    assert "by another protocol** (published, here): nothing is known of its protocol." in text
    assert "Rings are the published accuracies." in text
    assert not project.planned("all")
    project.configure(project.config | {"plots": {"dpi": 120}})
    assert set(project.planned("all")) == {*DRAWN, *OF_TRAINING, "write_analysis", "write_report", "all"}


def test_figures_show_no_accuracies_on_other_questions(project: Project):
    write(project, dataset="gsm8k")
    assert set(project.planned("all")) == {"aggregate", "write_analysis", "write_report", "all"}


def test_an_optional_study_is_built_by_its_name_with_its_settings(finished: Project, tmp_path: Path):
    """In its own results folder; what is finished of the other stays up to date."""
    own = {"results": "elsewhere", "training": {"default": {"scheduler_steps_per_step": 2}}, "metric": "flexible"}
    special = {"optional": True, "models": ["tiny"], "conditions": ["sft"], "schedules": ["short"], "settings": own}
    studies = finished.config["studies"] | {"special": special}
    project = Project(tmp_path, finished.config | {"studies": studies}).take(finished)
    assert not project.planned("all")
    plan = project.run("-n", "-p", "special")
    assert "elsewhere/runs/tiny/sft/lambda0/seed42/short" in plan and '"scheduler_steps_per_step":2' in plan
    assert re.search(r"^train +1$", plan, re.M) and "results/runs" not in plan.replace("elsewhere/runs", "")
    above = project.run("-n", "special", "--config", "results=mine")
    assert "mine/runs/tiny/sft" in above and "elsewhere" not in above
    assert "are different studies" in project.run("-n", "all", "special", check=False)
