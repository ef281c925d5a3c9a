"""Checkpoints on disk: which there are, that they are whole, and of which kind they are."""

import json
from pathlib import Path

from ..errors import JobError
from ..runtime.files import sha256


def is_adapter(checkpoint: Path) -> bool:
    """Return whether a checkpoint is an adapter, and not a whole model."""
    return (checkpoint / "adapter_config.json").is_file()


def checkpoints_of(manifest: Path, steps: list[int]) -> dict[int, Path]:
    """Return folders of a run's checkpoints by their steps.

    Raises:
        JobError: a file isn't the one that training wrote.
    """
    for name, entry in json.loads(manifest.read_text())["files"].items():
        path = manifest.parent / name
        if not path.is_file() or sha256(path) != entry["sha256"]:
            raise JobError(f"{path} is not the file that training wrote; delete {manifest} to retrain")
    return {step: manifest.parent / f"checkpoint-{step}" for step in steps}


def single_checkpoint(folder: Path, steps: list[int]) -> dict[int, Path]:
    """Return one checkpoint in any folder, an adapter or a whole model.

    Raises:
        JobError: there is none, or the spec speaks of several.
    """
    if not is_adapter(folder) and not (folder / "config.json").is_file():
        raise JobError(f"{folder} is no checkpoint: it has neither adapter_config.json nor config.json")
    if len(steps) != 1:
        raise JobError(f"--spec: one checkpoint is evaluated, so `checkpoints` must name one step, not {steps}")
    return {steps[0]: folder}
