"""The manifest of a fetched model."""

import json
from pathlib import Path
from typing import Any

from ..errors import JobError


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest, after a check that every file is there in full.

    Raises:
        JobError: a file is missing or has another size.
    """
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry["bytes"]:
            raise JobError(f"{path} is missing or not whole; delete {folder}/manifest.json and fetch the model again")
    return manifest
