"""Files and functions that a reader takes in at once."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE, FUNCTION = 300, 60


def sources() -> list[Path]:
    """All code, that of tests included."""
    folders = ("scripts", "tests", "benchmarks", "docs", "rules")
    found = [path for folder in folders for kind in ("py", "smk") for path in (ROOT / folder).rglob(f"*.{kind}")]
    assert len(found) > 100
    return [*found, ROOT / "Snakefile"]


def test_no_file_has_more_than_300_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {name: length for name, length in lengths.items() if length > FILE} == {}


def test_no_function_has_more_than_60_lines():
    long = {}
    for path in sources():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    length = node.end_lineno - node.lineno + 1
                    if length > FUNCTION:
                        long[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert long == {}
