"""The finished study, for tests to look at and to plan anew."""

import pytest

from project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, study: Project) -> Project:
    """The whole study, done, whose configuration a test may change for a while."""
    return Project(tmp_path_factory.mktemp("study") / "with a space", study.config).take(study)
