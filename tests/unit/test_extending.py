"""The recipes of docs/extending.md, followed as they are written."""

import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

from fewshot_distillation.config import targets
from fewshot_distillation.config.load import load
from fewshot_distillation.config.study import Study
from tiny import CONFIG, edited

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
LOSSES = "fewshot_distillation.student.losses.logits"


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
    spec = importlib.util.spec_from_file_location(f"{LOSSES}.total_variation", losses)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
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
