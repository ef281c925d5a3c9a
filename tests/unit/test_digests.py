"""Digests of source code change with what a job computes, and with nothing else."""

import ast
import re
import shutil
from pathlib import Path

import pytest
from pydantic import Field

from fewshot_distillation.analysis.tables import TABLES
from fewshot_distillation.config import digests
from fewshot_distillation.config.base import neutral
from fewshot_distillation.config.normal_form import normal_form
from fewshot_distillation.config.specs import JobSpec, TrainSpec
from fewshot_distillation.tasks import task_modules
from tiny import study

PACKAGE = Path("fewshot_distillation")
LAYERWISE = PACKAGE / "student" / "losses" / "hidden_states" / "layerwise.py"
FORWARD_KL = PACKAGE / "student" / "losses" / "logits" / "forward_kl.py"


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
    for loss in ("hidden_states.layerwise", "logits.forward_kl"):
        found[f"train {loss.partition('.')[2]}"] = digests.code_digest("train.py", f"student.losses.{loss}")
    for engine in ("transformers", "vllm"):
        for program in ("generate.py", "eval_checkpoint.py"):
            found[f"{program} {engine}"] = digests.code_digest(program, f"evaluation.backends.{engine}_backend")
    for figure in ("accuracy_curve", "lambda_sweep"):
        found[f"plot {figure}"] = digests.code_digest("plot.py", f"analysis.figures.{figure}")
    found["aggregate tables"] = digests.code_digest("aggregate.py", *(f"analysis.tables.{name}" for name in TABLES))
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
    assert changed_by(scripts, FORWARD_KL, lambda t: t.replace("log_p.exp()", "2 * log_p.exp()")) == {
        "train forward_kl"
    }


COSMETIC = {
    "comment": lambda t: t + "\n# A remark.\n",
    "trailing comment": lambda t: t.replace("squared.mean(1)", "squared.mean(1)  # a remark", 1),
    "docstring of the module": lambda t: t.replace('"""Squared distance', '"""The squared distance', 1),
    "docstring of the function": lambda t: t.replace(
        '"""Return one value per token', '"""Return a value for each token', 1
    ),
    "layout": lambda t: t.replace("student, teacher = ", "(student, teacher) = ", 1),
    "empty lines": lambda t: t.replace("\n\n", "\n\n\n"),
    "local variable": lambda t: re.sub(r"\bsquared\b", "differences", t),
}


@pytest.mark.parametrize("edit", COSMETIC.values(), ids=COSMETIC)
def test_what_changes_no_number_marks_nothing(scripts: Path, edit):
    assert changed_by(scripts, LAYERWISE, edit) == set()


NOT_FOUND = """\
    if not student.numel():
        raise ValueError(f"expected targets, got {student.shape}; give some")
"""


def test_rewording_counts_as_little_as_renaming_while_the_loss_counts(scripts: Path):
    """The one example: a message, a field with a neutral default, a local variable; then the loss itself."""
    path = scripts / LAYERWISE
    first = re.search(r"^    .*\n(?!    \"\"\")", path.read_text().split('"""\n')[-1], re.M).group()
    path.write_text(path.read_text().replace(first, NOT_FOUND + first, 1))
    edits = {
        "message": lambda t: t.replace("expected targets, got {student.shape}; give some", "no targets"),
        "local variable": lambda t: re.sub(r"\bsquared\b", "differences", t),
    }
    for edit in edits.values():
        assert changed_by(scripts, LAYERWISE, edit) == set()

    class Later(TrainSpec):
        label_smoothing: float = Field(0.0, exclude_if=neutral(0.0))

    spec = study().train("tiny", "layerwise", "0.5", "42", "short")
    later = Later.model_validate_json(spec.model_dump_json(by_alias=True))
    assert later.digest() == spec.digest() and later.label_smoothing == 0
    assert later.model_copy(update={"label_smoothing": 0.1}).digest() != spec.digest()
    assert changed_by(scripts, LAYERWISE, lambda t: t.replace(".sum(1)", ".sum(1) * 2", 1)) == {"train layerwise"}


PROGRAMS = ("fetch_model.py", "precompute_activations.py", "precompute_logits.py", "train.py", "eval_checkpoint.py")


@pytest.mark.parametrize("program", [*PROGRAMS, "generate.py", "fetch_dataset.py"])
def test_no_message_is_left_in_what_counts(program: str):
    """Texts of several words that are no messages have to be named here."""
    no_messages = {"You are a helpful assistant."}  # tries out whether a template wants a system message
    left = set()
    for path in digests._closure(digests.SCRIPTS / program, ()):
        for node in ast.walk(ast.parse(normal_form(path.read_bytes()).replace("·", "v_"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) > 3:
                left.add(node.value)
    unrelated_words = {text for text in left if not re.search(r"[.,;:']|\b(?:the|a|an|of|is|has)\b", text)}
    assert left - unrelated_words <= no_messages


def test_what_is_said_around_a_question_counts(scripts: Path):
    edit = changed_by(
        scripts, "fewshot_distillation/data/templates.py", lambda t: t.replace("(PLACE, q", "(PLACE, 'Hm. ' + q")
    )
    assert {"train.py", "generate.py", "precompute_activations.py", "eval_checkpoint.py"} <= edit


def test_a_default_that_was_changed_counts():
    class Before(JobSpec):
        smoothing: float = Field(0.0, exclude_if=neutral(0.0))

    class After(JobSpec):
        smoothing: float = 0.1

    assert Before().digest() != After().digest() != After(smoothing=0).digest()
    with pytest.raises(TypeError, match=r"Wrong.smoothing: the neutral value 0.0 isn't the default 0.1; remove"):

        class Wrong(JobSpec):
            smoothing: float = Field(0.1, exclude_if=neutral(0.0))


def same(one: str, other: str) -> bool:
    return normal_form(one) == normal_form(other)


def test_normal_form_of_messages():
    function = "def f(x):\n    {}\n    return x"
    without = function.format("pass")
    for said in ('log.info("x is %s", x)', 'print("x", x)', "if x > 3: log.warning('x')", 'text = f"x is {x}"'):
        assert same(function.format(said), without) or same(function.format(said), "def f(x):\n    return x"), said
    assert same(function.format("what = 'a'; raise E(what + 'b')"), function.format("w = 'c'; raise E(f'{w}')"))
    assert same(function.format('assert x, "a"'), function.format("assert x"))
    assert same("for i in progress(items, 'a', 3, unit='it'): g(i)", "for i in progress(items, 'b', 3): g(i)")
    assert same("ARGUMENTS = {'model': 'the model'}", "ARGUMENTS = {'model': 'a model'}")
    for one, other in (
        ("raise E(3)", "raise E(4)"),
        ("raise E('a')", "raise F('a')"),
        ("return g('a')", "return g('b')"),
        ("if g(x): log.info('a')", "pass"),
        ("text = 'a'; x = g(text)", "text = 'b'; x = g(text)"),
        ("for i in progress(x, 'a', 3): pass", "for i in progress(x, 'a', 4): pass"),
    ):
        assert not same(function.format(one), function.format(other)), one


def test_normal_form_of_imports():
    """A name that decides no result may move among the packages that don't."""
    assert same("from ..runtime.errors import E\nraise E('a')", "from ..errors import E\nraise E('a')")
    assert same(
        "from fewshot_distillation.runtime.cli import job\njob()", "from fewshot_distillation.config import job\njob()"
    )
    for text in ("from ..data.rows import f", "from .config import f", "from errors import f", "import config"):
        assert not same(text, ""), text


def test_normal_form_of_names():
    assert same(
        "def f(x):\n    a = [b for b in x]\n    def g(): return a\n    return g",
        "def f(x):\n    y = [z for z in x]\n    def h(): return y\n    return h",
    )
    assert same("def f():\n    try: g()\n    except E as e: h(e)", "def f():\n    try: g()\n    except E as it: h(it)")
    for one, other in (
        ("def f(a): return a", "def f(b): return b"),  # callers may name it
        ("def f():\n    a = 1\n    b = 2\n    return a", "def f():\n    a = 1\n    b = 2\n    return b"),
        ("def f(x):\n    a = len(x)\n    return a", "def f(x):\n    len = max(x)\n    return len"),
        ("A = 1\ndef f(): return [a for a in x], A", "A = 1\ndef f(): return [A for A in x], A"),
        ("class C:\n    a = 1", "class C:\n    b = 1"),
        ("def f():\n    global a\n    a = 1", "def f():\n    global b\n    b = 1"),
        ("def f():\n    a = 1\n    return locals()", "def f():\n    b = 1\n    return locals()"),
    ):
        assert not same(one, other), one


def test_a_string_that_is_not_a_docstring_counts(scripts: Path):
    assert changed_by(scripts, LAYERWISE, lambda t: t.replace('== "sum"', '== "mean"')) == {"train layerwise"}


TRAINS = {"train.py", "train layerwise", "train forward_kl"}
BY_TRANSFORMERS = {"generate.py transformers", "eval_checkpoint.py transformers"}
GENERATES = {"generate.py", "eval_checkpoint.py", "generate.py vllm", "eval_checkpoint.py vllm"} | BY_TRANSFORMERS
TEACHES = {"precompute_activations.py", "precompute_logits.py", "audit_signal.py"}
FIGURES = {"plot.py", "plot accuracy_curve", "plot lambda_sweep"}

EFFECTS = {
    "trainer": ("student/trainer.py", TRAINS),
    "batches": ("student/batches.py", TRAINS),
    # The example on an exported model's card asks as everything else does.
    "prompts": ("data/prompts.py", TRAINS | GENERATES | TEACHES | {"export.py"}),
    "scoring": ("evaluation/scoring.py", {"score.py", "score gsm8k", "score multiple_choice", "summarise_icl_gap.py"}),
    "numbers": ("tasks/rules/numbers.py", {"score gsm8k"}),
    "letters": ("tasks/rules/letters.py", {"score multiple_choice"}),
    "one task": ("tasks/multiple_choice.py", {"fetch multiple_choice", "score multiple_choice"}),
    "one generator": ("data/word_problems.py", {"fetch gsm8k"}),
    "backend": ("evaluation/backends/transformers_backend.py", BY_TRANSFORMERS),
    "teacher's logits": ("teacher/logits.py", {"precompute_logits.py"}),
    "teacher's states": ("teacher/activations.py", TEACHES),
    "signal audit": ("teacher/signal.py", {"audit_signal.py"}),
    "one figure": ("analysis/figures/accuracy_curve.py", {"plot accuracy_curve"}),
    "narrative": ("analysis/narrative.py", {"write_analysis.py"}),
    "results": ("analysis/results.py", {"aggregate.py", "aggregate tables"} | FIGURES),
    "one table": ("analysis/tables/lambda_sweep.py", {"aggregate tables"}),
}


@pytest.mark.parametrize(("file", "expected"), EFFECTS.values(), ids=EFFECTS)
def test_an_edit_marks_what_depends_on_it(scripts: Path, file: str, expected: set[str]):
    assert changed_by(scripts, PACKAGE / file, more_code) == expected


@pytest.mark.parametrize(
    "file",
    ["config/config.py", "config/study.py", "errors.py", "hardware/speed.py", "runtime/workspace.py", "runtime/cli.py"],
)
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
