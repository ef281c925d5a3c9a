"""A program imports what its own work needs, and the heavy packages only once it has work to do."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
PROGRAMS = sorted(path.stem for path in SCRIPTS.glob("*.py") if "with job(" in path.read_text())
# They read and write tables, on machines that may not even have PyTorch.
LIGHT = ("score", "aggregate", "plot", "write_analysis", "write_report", "summarise_icl_gap", "fetch_dataset")
HEAVY = {"torch", "transformers", "peft", "accelerate", "datasets", "openai", "vllm", "tensorboard"}
FIGURES = [path.stem for path in (SCRIPTS / "fewshot_distillation" / "analysis" / "figures").glob("*.py")]


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after it has run the code."""
    listing = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    command = [sys.executable, "-c", f"{code}\n{listing}"]
    done = subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def imports_of(program: str) -> str:
    """All import statements of a program, those within its `main` too."""
    spec = importlib.util.spec_from_file_location("import_time", ROOT / "benchmarks" / "import_time.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark.imports_of(SCRIPTS / f"{program}.py")


@pytest.mark.parametrize("program", LIGHT)
def test_what_works_on_tables_needs_no_model_packages(program: str):
    code = imports_of(program)
    if program == "plot":
        code += "".join(f"\nimport fewshot_distillation.analysis.figures.{name}" for name in FIGURES)
    assert loaded_by(code) & HEAVY == set()


@pytest.mark.parametrize("program", sorted(set(PROGRAMS) - set(LIGHT)))
def test_a_program_that_finds_its_work_done_loads_nothing_heavy(program: str):
    """Until then it parses its arguments and looks at its outputs."""
    assert loaded_by(f"import {program}") & (HEAVY | {"pandas", "scipy", "matplotlib"}) == set()


@pytest.mark.parametrize(
    ("module", "refused"),
    [
        ("evaluation.backends", HEAVY),
        ("evaluation.generation", HEAVY),
        ("evaluation.backends.server_backend", HEAVY - {"openai"}),
        ("evaluation.backends.transformers_backend", {"peft", "datasets", "openai", "vllm", "pandas"}),
        ("teacher.activations", {"peft", "datasets", "openai", "vllm", "pandas"}),
    ],
)
def test_a_backend_loads_what_it_needs_itself(module: str, refused: set[str]):
    assert loaded_by(f"import fewshot_distillation.{module}") & refused == set()
