"""Another workflow uses this one as a module, with its own configuration and results folder."""

import re
from pathlib import Path

import pytest

import warm
from project import Project, tiny_config, write_user_of_module


@pytest.fixture
def folder(tmp_path: Path, tiny_source: Path) -> Path:
    write_user_of_module(tmp_path, tiny_config(tiny_source))
    # The module has its configuration from the other workflow; this file is that workflow's own business.
    (tmp_path / "workflow_config.yaml").write_text("models: nothing of ours")
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    return warm.snakemake("--cores", "2", *arguments, folder=folder)


def test_another_workflow_plans_this_one(folder: Path):
    plan = run(folder, "-n")
    for rule in ("report_on_it", "study_train", "study_eval_checkpoint", "study_score"):
        assert re.search(rf"\n{rule} +1\n", plan), rule
    assert "elsewhere/out/runs/tiny/sft/lambda0/seed42/short/accuracy.csv" in plan
    assert "study_precompute_activations" in run(folder, "-n", "study_train_layerwise_0.5_tiny")


def test_another_workflow_includes_this_one(tmp_path: Path, tiny_source: Path):
    """Its own targets have names that this one doesn't have."""
    project = Project(tmp_path, tiny_config(tiny_source))
    mine = 'rule mine:\n    output: "mine.txt"\n    shell: "touch {output}"\n'
    (tmp_path / "Snakefile").write_text(f'include: "{project.source}/Snakefile"\n{mine}')
    assert re.search(r"\nmine +1\n", run(tmp_path, "-n", "mine", "mine.txt"))


@pytest.mark.slow
def test_another_workflow_runs_this_one(folder: Path):
    run(folder)
    assert (folder / "report.txt").read_text().startswith("3 elsewhere/out/runs")
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "Snakefile", "elsewhere", "mine.yaml", "report.txt", "workflow_config.yaml",
    ]  # fmt: skip
    assert "Nothing to be done" in run(folder)
