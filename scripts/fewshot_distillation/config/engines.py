"""The inference backends, found by their files, so that adding one is adding a file."""

import ast
import functools
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "evaluation" / "backends"
SUFFIX = "_backend"


@functools.cache
def engines() -> dict[str, bool]:
    """Return the name of each backend, and whether `auto` may choose it, which is so if its file defines `preference`.

    The files are parsed and not imported: the driver of the workflow has neither PyTorch nor a backend loaded.
    """
    found = {}
    for path in sorted(FOLDER.glob(f"*{SUFFIX}.py")):
        functions = {node.name for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.FunctionDef)}
        found[path.stem.removesuffix(SUFFIX)] = "preference" in functions
    return found


def engine_modules(backend: str) -> list[str]:
    """Return the package modules of the backends that may generate, as code digests name them."""
    chosen = [name for name, automatic in engines().items() if automatic] if backend == "auto" else [backend]
    return [f"evaluation.backends.{name}{SUFFIX}" for name in chosen]
