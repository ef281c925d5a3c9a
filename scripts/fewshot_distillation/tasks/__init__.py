"""Tasks by name: how the rows of a dataset are asked, answered and scored. A task is one file of this package."""

import importlib
from pathlib import Path

from .base import Scorer, Task

_NOT_TASKS = ("__init__", "base", "references")
TASKS = tuple(sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _NOT_TASKS))

__all__ = ["TASKS", "Scorer", "Task", "task_of"]


def task_of(name: str) -> Task:
    """Return the task of that name, one of `TASKS`."""
    # By name, so that a change to one task leaves datasets of the others as they are (see `task_modules`).
    return importlib.import_module(f".{name}", __package__).TASK


def task_modules(name: str, scorers: list[str] = ()) -> list[str]:
    """Return the package modules of a task and of some of its scorers, as code digests name them."""
    rules = {f"tasks.rules.{task_of(name).scorers[scorer].module}" for scorer in scorers}
    return [f"tasks.{name}", *sorted(rules)]
