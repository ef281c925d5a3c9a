"""Configurations of the small study in tiny.py: what is wrong with one, and the runs and specs that it makes."""

import pytest

from fewshot_distillation.config.base import ConfigError
from fewshot_distillation.config.load import load
from fewshot_distillation.config.runs import Run
from tiny import study

HEAD = "The configuration is wrong:\n"


def error_of(config: dict) -> str:
    """What is said of a wrong configuration, below the heading."""
    with pytest.raises(ConfigError) as error:
        load(config)
    text = str(error.value)
    assert text.startswith(HEAD)
    return text.removeprefix(HEAD)


def grid(**changes) -> dict:
    """A study of two conditions."""
    return {"models": ["tiny"], "conditions": ["sft", "layerwise"], "schedules": ["short"]} | changes


def runs(**changes) -> set[str]:
    return {"/".join(map(str, run)) for run in study(**changes).runs}


def train_specs(**changes) -> dict[Run, str]:
    """The digest of each run's spec."""
    one = study(**changes)
    return {run: one.train(**run._asdict()).digest() for run in one.runs}
