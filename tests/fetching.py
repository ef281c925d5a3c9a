"""Model folders that a test changes, and what fetching them gives."""

import json
import shutil
from pathlib import Path

import pytest

from fewshot_distillation.config.sources import FilesModel
from fewshot_distillation.config.specs import ModelSpec
from fewshot_distillation.data.models import fetch_model
from fewshot_distillation.errors import JobError


def spec_of(source: Path) -> ModelSpec:
    return ModelSpec(name="tiny", source=FilesModel(files=str(source)), chat_template={})


def copied(origin: Path, folder: Path, **config) -> Path:
    """A copy of a model folder with other settings in config.json."""
    shutil.copytree(origin, folder)
    (folder / "config.json").write_text(json.dumps(json.loads((folder / "config.json").read_text()) | config))
    return folder


def fetch(source: Path, folder: Path, **wanted) -> dict:
    fetch_model(spec_of(source), folder / "model", folder / "state", [], **wanted)
    return json.loads((folder / "model" / "manifest.json").read_text())


def error_of(source: Path, folder: Path, **wanted) -> str:
    with pytest.raises(JobError) as error:
        fetch(source, folder, **wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- which weights ----------------------------------------------------------------------------------------------------
