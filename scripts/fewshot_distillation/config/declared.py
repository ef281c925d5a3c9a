"""What a module declares, read without importing it: whoever plans jobs does without matplotlib and PyTorch."""

import ast
from pathlib import Path
from typing import Any


def constants(path: Path) -> dict[str, Any]:
    """Return the literals that a module gives names in capitals."""
    found = {}
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.isupper():
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found
