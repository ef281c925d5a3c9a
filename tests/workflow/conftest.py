"""One undisturbed run of the whole study, which several tests look at."""

from pathlib import Path

import pytest

from project import Project, tiny_config
from tiny import make_model


@pytest.fixture(scope="session")
def tiny_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "tiny-model"
    make_model(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> Project:
    """The whole study, done once."""
    project = Project(tmp_path_factory.mktemp("study") / "with a space", tiny_config(tiny_source))
    project.log = project.run("all")
    return project
