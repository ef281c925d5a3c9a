"""What all tests share: the package's place on the path, and one tiny model."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for place in (HERE, HERE.parent / "scripts"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))


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
