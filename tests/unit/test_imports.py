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


def loaded_by(*codes: str) -> list[set[str]]:
    """Top-level modules that a fresh interpreter has after it has run each code."""
    listing = "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    text = "\n".join(["import json, sys", *(f"{code}\n{listing}" for code in codes)])
    done = subprocess.run([sys.executable, "-c", text], cwd=SCRIPTS, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [set(json.loads(line)) for line in done.stdout.splitlines()]


def imports_of(program: str) -> str:
    """All import statements of a program, those within its `main` too."""
    spec = importlib.util.spec_from_file_location("import_time", ROOT / "benchmarks" / "import_time.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    return benchmark.imports_of(SCRIPTS / f"{program}.py")


def test_what_works_on_tables_needs_no_model_packages():
    """The programs share an interpreter, which has none of them after each."""
    figures = "".join(f"\nimport fewshot_distillation.analysis.figures.{name}" for name in FIGURES)
    loaded = loaded_by(*(imports_of(program) + (figures if program == "plot" else "") for program in LIGHT))
    assert {program: found & HEAVY for program, found in zip(LIGHT, loaded, strict=True)} == dict.fromkeys(LIGHT, set())


def test_a_program_that_finds_its_work_done_loads_nothing_heavy():
    """Until then it parses its arguments and looks at its outputs."""
    programs = sorted(set(PROGRAMS) - set(LIGHT))
    loaded = loaded_by(*(f"import {program}" for program in programs))
    heavy = {
        program: found & (HEAVY | {"pandas", "scipy", "matplotlib"})
        for program, found in zip(programs, loaded, strict=True)
    }
    assert len(programs) >= 6 and heavy == dict.fromkeys(programs, set())


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
    (loaded,) = loaded_by(f"import fewshot_distillation.{module}")
    assert loaded & refused == set()
