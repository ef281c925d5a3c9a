"""One undisturbed run of the whole study, which several tests look at."""

from pathlib import Path

import pytest

from project import Project, tiny_config
from tiny import make_model


@pytest.fixture(scope="session")
def tiny_source(made_once) -> Path:
    return made_once("tiny-model", make_model)


@pytest.fixture(scope="session")
def study(made_once, tiny_source: Path) -> Project:
    """The whole study, done once, to be left as it is."""
    config = tiny_config(tiny_source)
    return Project(made_once("the whole study", lambda folder: Project(folder, config).run("all")), config)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, study: Project) -> Project:
    """The whole study, done, whose configuration a test may change for a while."""
    return Project(tmp_path_factory.mktemp("study") / "with a space", study.config).take(study)
