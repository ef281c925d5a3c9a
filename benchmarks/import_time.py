"""What each program under scripts/ spends on imports: processor seconds until its work could begin, and for what.

python benchmarks/import_time.py [PROGRAM ...] [--runs N]

All import statements of the program's file are executed, those within `main` too. What a module of the package imports
only where a job needs it (an adapter, a server) isn't in these figures. Processor time is taken and not wall time, so
that a busy machine makes little difference; the least of several runs counts.
"""

import argparse
import ast
import csv
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "scripts"
RESULT = ROOT / "results" / "benchmarks" / "import_time.csv"
BIG = (
    *("torch", "transformers", "peft", "accelerate", "datasets", "openai"),
    *("pandas", "scipy", "statsmodels", "matplotlib"),
)
# The backend that generates is loaded by its name; this is the one for machines without vLLM.
BACKEND = "import fewshot_distillation.evaluation.backends.transformers_backend"
ANSWERING = ("generate", "eval_checkpoint")


def imports_of(program: Path) -> str:
    """Return a program that executes the import statements of a file, and that of a backend where one generates."""
    nodes = [n for n in ast.walk(ast.parse(program.read_text())) if isinstance(n, ast.Import | ast.ImportFrom)]
    lines = [ast.unparse(node) for node in nodes]
    return "\n".join([*lines, BACKEND] if program.stem in ANSWERING else lines)


def processor_seconds(code: str) -> float:
    """Return the user and system time of a Python process that runs the code, beyond that of an empty one's start."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=SCRIPTS, env=os.environ | {"PYTHONPATH": str(SCRIPTS)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def packages(code: str) -> dict[str, float]:
    """Return the seconds of each large package, with all that it imports first, by `python -X importtime`."""
    command = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(
        command, check=True, cwd=SCRIPTS, env=os.environ | {"PYTHONPATH": str(SCRIPTS)}, capture_output=True, text=True
    )
    found = re.findall(r"import time:\s+\d+ \|\s+(\d+) \|\s+(\S+)$", done.stderr, re.M)
    return {name: int(microseconds) / 1e6 for microseconds, name in found if name in BIG}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", help="names such as score; all that the rules run if none is given")
    parser.add_argument("--runs", type=int, default=3, help="of each, of which the shortest counts")
    arguments = parser.parse_args()
    programs = [SCRIPTS / f"{name}.py" for name in arguments.programs] or sorted(
        path for path in SCRIPTS.glob("*.py") if "with job(" in path.read_text()
    )
    rows = []
    print(f"{'program':<24}{'s':>7}  packages (s, each with what it brings along)")
    for program in programs:
        code = imports_of(program)
        seconds = min(processor_seconds(code) for _ in range(arguments.runs))
        largest = sorted(packages(code).items(), key=lambda item: -item[1])
        named = ", ".join(f"{name} {part:.1f}" for name, part in largest)
        rows.append({"program": program.stem, "seconds": round(seconds, 2), "packages": named})
        print(f"{program.stem:<24}{seconds:>7.2f}  {named}", flush=True)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    with open(RESULT, "w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
