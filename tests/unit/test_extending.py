"""The recipes of docs/extending.md, followed as they are written."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fewshot_distillation.analysis.results import Results
from fewshot_distillation.config import figures, targets
from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.load import load
from fewshot_distillation.config.study import Study
from study_tables import accuracy, aggregate_spec, judged, measured, plot_spec
from tiny import CONFIG, edited

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
LOSSES = "fewshot_distillation.student.losses.logits"
ANALYSIS = "fewshot_distillation.analysis"


def example(name: str) -> str:
    """The block below a mark of this name."""
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)```", PAGE.read_text(), re.S)
    assert found, name
    return found[1]


@pytest.fixture
def losses(tmp_path: Path, monkeypatch) -> Path:
    """The folder of losses with the example's file in it."""
    shutil.copytree(targets.LOSSES, tmp_path / "losses")
    path = tmp_path / "losses" / "logits" / "total_variation.py"
    path.write_text(example("a loss"))
    monkeypatch.setattr(targets, "LOSSES", tmp_path / "losses")
    targets.losses.cache_clear()
    yield path
    targets.losses.cache_clear()


def module_of(name: str, path: Path):
    """A module of the package that lies elsewhere."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def study_with(changes: dict, condition: str) -> Study:
    config = edited(
        **{f"{section}__{name}": entry for section, part in changes.items() for name, entry in part.items()}
    )
    config["studies"]["mine"] = {"models": ["tiny"], "conditions": [condition], "schedules": ["short"]}
    return Study(load(config))


def specs(study: Study) -> dict:
    return {run: study.train(**run._asdict()).digest() for run in study.runs}


def test_a_loss_is_one_file_and_a_condition(losses: Path):
    """The configuration finds it, it computes what it says, and no other run becomes stale."""
    study = study_with(yaml.safe_load(example("a condition with that loss")), "total_variation")
    (target,) = study.config.conditions["total_variation"].all_targets
    before, after = specs(Study(load(CONFIG))), specs(study)
    assert len(after) == len(before) + 1 and all(after[run] == digest for run, digest in before.items())
    module = module_of(f"{LOSSES}.total_variation", losses)
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    teacher = {"values": torch.tensor([[1.0, 0.5]]), "indices": torch.tensor([[1, 0]])}
    p, q = torch.tensor([1.0, 0.5]).softmax(0), torch.tensor([0.0, 2.0]).softmax(0)
    expected = 2.0 * 0.5 * (p - q).abs().sum()
    torch.testing.assert_close(module.loss(logits, teacher, target)[0], expected)


def test_a_control_is_configuration_alone():
    changes = yaml.safe_load(example("a control"))
    study = study_with(changes, "answer_control")
    before, after = specs(Study(load(CONFIG))), specs(study)
    assert all(after[run] == digest for run, digest in before.items())
    assert ("tiny", "shuffled_four", "reference") in study.teachers_in_use
    assert study.prompts.all["shuffled_four"].shown_as == "A · 4-shot, shuffled answers"


@pytest.fixture
def figures_folder(tmp_path: Path, monkeypatch) -> Path:
    """A copy of the folder of figures."""
    folder = tmp_path / "figures"
    shutil.copytree(figures.FIGURES, folder)
    monkeypatch.setattr(figures, "FIGURES", folder)
    figures.figures.cache_clear()
    yield folder
    figures.figures.cache_clear()


def test_a_figure_is_one_file(figures_folder: Path):
    """The study finds it, with its caption and its runs, and it draws what it says."""
    path = figures_folder / "cut_answers.py"
    path.write_text(example("a figure"))
    declared = figures.figures()["cut_answers"]
    assert declared.caption.startswith("Answers that were cut") and declared.inputs == ("accuracy",)
    study = Study(load(CONFIG))
    assert study.runs_of_figure("cut_answers", "tiny") == study.default_runs("tiny")
    module = module_of(f"{ANALYSIS}.figures.cut_answers", path)
    trained = accuracy().query("condition != 'base' and `lambda` != 0.1")
    (axes,) = module.draw(plot_spec("cut_answers"), measured(trained)).axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.2, 0.2]] * 3


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ('RUNS = "default"\n', "", "figure 'cut_answers' declares no RUNS"),
        ('RUNS = "default"', 'RUNS = "defaults"', "RUNS has 'defaults'; did you mean 'default'"),
        ('("accuracy",)', '("accuracies",)', "INPUTS has 'accuracies'; did you mean 'accuracy'"),
    ],
)
def test_a_figure_with_a_wrong_declaration_is_named(figures_folder: Path, line: str, instead: str, said: str):
    text = example("a figure")
    assert line in text
    (figures_folder / "cut_answers.py").write_text(text.replace(line, instead))
    with pytest.raises(ConfigError, match=re.escape(said)):
        figures.figures()


def test_a_table_column_is_one_file(tmp_path: Path):
    """The diff applies to the file as it stands, and the table has the column with its values."""
    source = (Path(figures.__file__).parents[1] / "analysis" / "tables" / "seeds.py").read_text()
    for part in example("a column of seeds.py").split("@@\n"):
        lines = part.splitlines(keepends=True)
        before, after = ("".join(line[1:] for line in lines if line[0] != mark) for mark in "+-")
        if source.count(after) != 1:  # as where somebody has followed the recipe
            assert source.count(before) == 1, part
            source = source.replace(before, after)
    path = tmp_path / "seeds.py"
    path.write_text(source)
    module, spec = module_of(f"{ANALYSIS}.tables.seeds_with_more", path), aggregate_spec()
    rows = module.rows(Results(accuracy(), judged(), spec), spec)
    assert "wrong" in module.columns(spec) and all(row["wrong"] == 10 - row["correct"] for row in rows)
