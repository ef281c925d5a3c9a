"""What is kept about modules is what they say now, whatever became of the file in which it is kept."""

import json
from pathlib import Path

import pytest

from fewshot_distillation.config import modules as module_cache
from fewshot_distillation.config.modules import Modules

SOURCE = "import os\n\nfrom . import near\nfrom ..losses.top_k import one as first\n\nVALUE = 1\n"
NAMES = (".", "..losses.top_k", "..losses.top_k.one", ".near", "os")


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module_cache, "SCRIPTS", tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (tmp_path / "one.py").write_text(SOURCE)
    return tmp_path


def opened(scripts: Path) -> Modules:
    return Modules(scripts / "__pycache__" / "modules.json")


def kept(scripts: Path) -> dict:
    modules = opened(scripts)
    assert modules[scripts / "one.py"].imports == NAMES
    modules.save()
    return json.loads(modules.file.read_text())


def test_a_module_is_read_once(scripts: Path, monkeypatch: pytest.MonkeyPatch):
    first = kept(scripts)
    monkeypatch.setattr(module_cache, "_read_module", None)  # it would raise
    assert opened(scripts)[scripts / "one.py"].meaning == first["modules"]["one.py"][1]


def test_an_edit_is_seen_by_the_same_process_and_by_the_next(scripts: Path):
    kept(scripts)
    modules = opened(scripts)
    before = modules[scripts / "one.py"]
    (scripts / "one.py").write_text(SOURCE.replace("1", "2"))
    after = modules[scripts / "one.py"]
    assert after.meaning != before.meaning and after == opened(scripts)[scripts / "one.py"]
    modules.save()
    assert len(json.loads(modules.file.read_text())["modules"]) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"modules": {}}', '{"maker": "other", "modules": {"one.py": ["", "", []]}}']
)
def test_a_damaged_file_is_made_anew(scripts: Path, content: str):
    first = kept(scripts)
    opened(scripts).file.write_text(content)
    assert kept(scripts) == first


def test_another_normal_form_makes_all_anew(scripts: Path, monkeypatch: pytest.MonkeyPatch):
    kept(scripts)
    other = scripts / "normal_form.py"
    other.write_text(Path(module_cache.normal_form.__file__).read_text() + "# changed\n")
    monkeypatch.setattr(module_cache.normal_form, "__file__", str(other))
    assert opened(scripts).known == {}


def test_where_nothing_can_be_written_nothing_is(scripts: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    modules = opened(scripts)
    assert modules[scripts / "one.py"].imports == NAMES
    modules.save()
    assert not modules.file.exists()
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    (scripts / "__pycache__").write_text("a file in the folder's place")
    modules.save()


def test_files_elsewhere_are_read_and_not_kept(scripts: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("elsewhere") / "two.py"
    other.write_text(SOURCE)
    modules = opened(scripts)
    assert modules[other].imports == NAMES and not modules.known


def test_the_package_is_kept_as_it_is():
    """Every entry against its module, read anew."""
    modules = module_cache.modules()
    for path in module_cache.SCRIPTS.rglob("*.py"):
        assert modules[path] == module_cache._read_module.__wrapped__(path.read_bytes()), path
