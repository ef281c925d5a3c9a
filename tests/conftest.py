"""What all tests share: the package's place on the path, one tiny model, and what is made once for all processes."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE / "workflow", HERE.parent / "scripts"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))


# Tests of studies share folders and not processes, but for these files, whose tests share a process as others do.
OF_STUDIES = "tests/workflow/"
TOGETHER = ("test_published_study.py", "test_report.py")


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Put tests in an order in which processes that share them don't wait for each other.

    The first test makes the study that many share, and the others that need it come last. Tests of other studies, which
    take longest, come before those of units.
    """
    yield  # pytest's own order, by what tests share in one process
    of_studies = {item for item in items if item.nodeid.startswith(OF_STUDIES)}
    sharing = {item for item in of_studies if "study" in item.fixturenames}
    first = next((item for item in items if item in sharing), None)
    items.sort(key=lambda item: 0 if item is first else 3 if item in sharing else 1 if item in of_studies else 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a file's tests in one process, where they share what it makes, and keep their order.

    By xdist's interface, because its marks for groups have no effect with this pytest
    (https://github.com/pytest-dev/pytest-xdist/issues/1386).
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if file.startswith(OF_STUDIES) and not file.endswith(TOGETHER) else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Call with a name and a function that fills a folder; its path. All processes that share the tests share it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                fill(folder)
                done.touch()
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_source(made_once) -> Path:
    """A model for studies on the tiny model."""
    from tiny import make_model

    return made_once("tiny-model", make_model)


@pytest.fixture(scope="session")
def study(made_once, tiny_source: Path):
    """The whole study on the tiny model, done once, to be left as it is."""
    from project import Project, tiny_config

    config = tiny_config(tiny_source)
    return Project(made_once("the whole study", lambda folder: Project(folder, config).run("all")), config)


@pytest.fixture(scope="session")
def source_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as somebody might keep it on disk, without a manifest."""
    from tiny import make_model

    return make_model(tmp_path_factory.mktemp("source") / "tiny")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory, source_folder: Path) -> Path:
    """The same model after `fetch_model`."""
    from tiny import fetched_model

    return fetched_model(source_folder, tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def splits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """train.jsonl and test.jsonl of twelve and six word problems."""
    from tiny import write_dataset

    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture
def model(model_folder: Path):
    """The tiny model in float32, frozen; a fresh one for each test, because tests change it."""
    from fewshot_distillation.modeling.load import load_model

    return load_model(model_folder, "fp32")


@pytest.fixture(scope="session")
def builder(model_folder: Path):
    from fewshot_distillation.data.prompts import PromptBuilder

    return PromptBuilder.of_model(model_folder, {"enable_thinking": False})
