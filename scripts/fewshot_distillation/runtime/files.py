"""Outputs appear whole or not at all: everything is written elsewhere and renamed into place."""

import contextlib
import functools
import hashlib
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import JobError
from .plans import outdated


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Open a temporary path in the same folder that replaces `path` when the block ends without an error.

    Raises:
        JobError: another driver has taken the results folder with other settings or code.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield temporary
        flush(temporary)
        if reason := outdated(path):
            raise JobError(reason)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Have a file, or all files of a folder, on the disk before a name is given to them."""
    if path.is_dir():
        for inside in path.iterdir():
            flush(inside)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file; one that hasn't changed since is read once in a process."""
    seen = os.stat(path)
    return _sha256(os.path.abspath(path), seen.st_ino, seen.st_size, seen.st_mtime_ns)


@functools.cache
def _sha256(path: str, *_seen: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_digests(folder: Path) -> dict[str, dict[str, str | int]]:
    """Return size in bytes and SHA-256 of every file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files}
