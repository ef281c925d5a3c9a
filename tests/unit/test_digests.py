"""Digests of source code change with what a job computes, and with nothing else."""

import re
import shutil
from pathlib import Path

import pytest

from fewshot_distillation.config import digests
from fewshot_distillation.tasks import task_modules

PACKAGE = Path("fewshot_distillation")
LAYERWISE = PACKAGE / "student" / "losses" / "layerwise.py"
FORWARD_KL = PACKAGE / "student" / "losses" / "forward_kl.py"


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch) -> Path:
    """A copy of scripts/ that tests may edit, in the place of the real one."""
    copy = tmp_path / "scripts"
    shutil.copytree(digests.SCRIPTS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digests, "SCRIPTS", copy)
    return copy


def all_digests() -> dict[str, str]:
    """Of every job, as the rules ask for them."""
    for cached in (digests._imports, digests._meaning):
        cached.cache_clear()
    found = {path.name: digests.code_digest(path.name) for path in sorted(digests.SCRIPTS.glob("*.py"))}
    for loss in ("layerwise", "forward_kl"):
        found[f"train {loss}"] = digests.code_digest("train.py", f"student.losses.{loss}")
    for engine in ("transformers", "vllm"):
        for program in ("generate.py", "eval_checkpoint.py"):
            found[f"{program} {engine}"] = digests.code_digest(program, f"evaluation.backends.{engine}_backend")
    for figure in ("accuracy_curve", "lambda_sweep"):
        found[f"plot {figure}"] = digests.code_digest("plot.py", f"analysis.figures.{figure}")
    for task, generator in (("gsm8k", "word_problems"), ("multiple_choice", "arithmetic_choices")):
        scorers = task_modules(task, ["strict", "flexible"])
        found[f"score {task}"] = digests.code_digest("score.py", *scorers)
        found[f"fetch {task}"] = digests.code_digest("fetch_dataset.py", *task_modules(task), f"data.{generator}")
    return found


@pytest.fixture(autouse=True)
def clean_caches():
    yield
    for cached in (digests._imports, digests._meaning):
        cached.cache_clear()


def changed_by(scripts: Path, file: Path | str, edit) -> set[str]:
    """Jobs whose digest an edit changes."""
    before, path = all_digests(), scripts / file
    text = edit(path.read_text())
    assert text != path.read_text(), "the edit changed nothing"
    path.write_text(text)
    after = all_digests()
    return {job for job in before if before[job] != after[job]}


def more_code(text: str) -> str:
    return text + "\n\nSOMETHING = 1\n"


def test_the_copy_has_the_digests_of_the_original(scripts: Path, monkeypatch):
    copied = all_digests()
    monkeypatch.undo()
    assert all_digests() == copied


def test_a_loss_marks_its_own_runs_alone(scripts: Path):
    assert changed_by(scripts, LAYERWISE, lambda t: t.replace("squared.sum(1)", "2 * squared.sum(1)")) == {
        "train layerwise"
    }
    assert changed_by(scripts, FORWARD_KL, lambda t: t.replace("1e-6", "1e-7")) == {"train forward_kl"}


COSMETIC = {
    "comment": lambda t: t + "\n# A remark.\n",
    "trailing comment": lambda t: t.replace("squared.mean(1)", "squared.mean(1)  # a remark", 1),
    "docstring of the module": lambda t: t.replace('"""Squared distance', '"""The squared distance', 1),
    "docstring of the function": lambda t: t.replace('"""One value per example', '"""A value for each example', 1),
    "layout": lambda t: t.replace("student, teacher = ", "(student, teacher) = ", 1),
    "empty lines": lambda t: t.replace("\n\n", "\n\n\n"),
}


@pytest.mark.parametrize("edit", COSMETIC.values(), ids=COSMETIC)
def test_what_changes_no_number_marks_nothing(scripts: Path, edit):
    assert changed_by(scripts, LAYERWISE, edit) == set()


def test_a_string_that_is_not_a_docstring_counts(scripts: Path):
    assert changed_by(scripts, LAYERWISE, lambda t: t.replace('== "sum"', '== "mean"')) == {"train layerwise"}


TRAINS = {"train.py", "train layerwise", "train forward_kl"}
BY_TRANSFORMERS = {"generate.py transformers", "eval_checkpoint.py transformers"}
GENERATES = {"generate.py", "eval_checkpoint.py", "generate.py vllm", "eval_checkpoint.py vllm"} | BY_TRANSFORMERS
TEACHES = {"precompute_activations.py", "precompute_logits.py"}
FIGURES = {"plot.py", "plot accuracy_curve", "plot lambda_sweep"}

EFFECTS = {
    "trainer": ("student/trainer.py", TRAINS),
    "batches": ("student/batches.py", TRAINS),
    "prompts": ("data/prompts.py", TRAINS | GENERATES | {"precompute_activations.py", "audit_signal.py"}),
    "scoring": ("evaluation/scoring.py", {"score.py", "score gsm8k", "score multiple_choice", "summarise_icl_gap.py"}),
    "numbers": ("tasks/rules/numbers.py", {"score gsm8k"}),
    "letters": ("tasks/rules/letters.py", {"score multiple_choice"}),
    "one task": ("tasks/multiple_choice.py", {"fetch multiple_choice", "score multiple_choice"}),
    "one generator": ("data/word_problems.py", {"fetch gsm8k"}),
    "backend": ("evaluation/backends/transformers_backend.py", BY_TRANSFORMERS),
    "teacher's logits": ("teacher/logits.py", {"precompute_logits.py"}),
    "teacher's states": ("teacher/activations.py", {"precompute_activations.py", "audit_signal.py"}),
    "signal audit": ("teacher/signal.py", {"audit_signal.py"}),
    "one figure": ("analysis/figures/accuracy_curve.py", {"plot accuracy_curve"}),
    "narrative": ("analysis/narrative.py", {"write_analysis.py"}),
    "tables": ("analysis/tables.py", {"aggregate.py"}),
}


@pytest.mark.parametrize(("file", "expected"), EFFECTS.values(), ids=EFFECTS)
def test_an_edit_marks_what_depends_on_it(scripts: Path, file: str, expected: set[str]):
    assert changed_by(scripts, PACKAGE / file, more_code) == expected


@pytest.mark.parametrize("file", ["config/config.py", "config/grid.py", "runtime/workspace.py", "runtime/cli.py"])
def test_configuration_and_files_do_not_count(scripts: Path, file: str):
    """What the configuration decides stands in the specs."""
    assert changed_by(scripts, PACKAGE / file, more_code) == set()


def test_training_does_not_read_analysis_or_scoring(scripts: Path):
    for job in ("train.py", "generate.py", "eval_checkpoint.py"):
        files = {str(p.relative_to(scripts)) for p in digests._closure(scripts / job, ())}
        assert not [f for f in files if re.search(r"analysis/|tasks/|scoring", f)], job


def test_imports_are_followed_to_the_end(scripts: Path):
    """The generator's own model loading, three imports away."""
    closure = digests._closure(scripts / "generate.py", ("evaluation.backends.transformers_backend",))
    files = {str(p.relative_to(scripts)) for p in closure}
    expected = {"modeling/load.py", "modeling/prefix.py", "data/prompts.py", "data/rows.py"}
    assert {f"{PACKAGE}/{name}" for name in expected} <= files


def test_the_program_itself_counts(scripts: Path):
    assert changed_by(scripts, "train.py", more_code) == TRAINS


def test_a_new_module_counts_once_it_is_imported(scripts: Path):
    new = scripts / PACKAGE / "student" / "helper.py"
    new.write_text("VALUE = 1\n")
    assert changed_by(scripts, PACKAGE / "student" / "batches.py", lambda t: "from . import helper\n" + t) == TRAINS
    assert changed_by(scripts, new.relative_to(scripts), lambda t: "VALUE = 2\n") == TRAINS
