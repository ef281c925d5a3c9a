"""A Python module's meaning and imports, kept beside the interpreter's own compiled files.

Every command and every job asks for them, and reading the whole package anew takes more than a second.
"""

import ast
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from . import normal_form

SCRIPTS = Path(__file__).resolve().parents[2]
CACHE = Path(importlib.util.cache_from_source(__file__)).with_name("modules.json")


class Module(NamedTuple):
    """The digest of a module's normal form, and the dotted names that it imports as they are written there."""

    meaning: str
    imports: tuple[str, ...]


class Modules:
    """The modules below scripts/; the file behind them may be lost, damaged, or of other code without harm."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # What the entries were made by: another interpreter or normal form starts anew.
        made_by = sys.version.encode() + Path(__file__).read_bytes() + Path(normal_form.__file__).read_bytes()
        self.maker = hashlib.sha256(made_by).hexdigest()
        self.known, self.changed = self._read(), False

    def __getitem__(self, path: Path) -> Module:
        source = path.read_bytes()
        if not path.is_relative_to(SCRIPTS):
            return _read_module(source)
        name, key = str(path.relative_to(SCRIPTS)), hashlib.sha256(source).hexdigest()
        known = self.known.get(name)
        if known is None or known[0] != key:
            known = self.known[name] = [key, *_read_module(source)]
            self.changed = True
        return Module(known[1], tuple(known[2]))

    def save(self) -> None:
        """Write what is new; a folder that can't be written to is left alone."""
        if not self.changed or sys.dont_write_bytecode:
            return
        temporary = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        try:
            self.file.parent.mkdir(exist_ok=True)
            temporary.write_text(json.dumps({"maker": self.maker, "modules": self.known}))
            os.replace(temporary, self.file)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
        self.changed = False

    def _read(self) -> dict[str, list]:
        try:
            content = json.loads(self.file.read_text())
            return content["modules"] if content["maker"] == self.maker else {}
        except (OSError, ValueError, TypeError, KeyError):
            return {}


@functools.cache
def _read_module(source: bytes) -> Module:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names += [base, *(f"{base}{'' if base.endswith('.') else '.'}{alias.name}" for alias in node.names)]
    meaning = hashlib.sha256(normal_form.normal_form(source).encode()).hexdigest()
    return Module(meaning, tuple(sorted(set(names))))


@functools.cache
def modules() -> Modules:
    """Return the modules as this process knows them."""
    return Modules(CACHE)
