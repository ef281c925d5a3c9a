"""Digests of source code, so that jobs rerun when what they compute changes and not when a message does."""

import functools
import hashlib
import io
import tokenize
from importlib.util import resolve_name
from pathlib import Path

from .modules import SCRIPTS, modules
from .normal_form import IGNORED, PACKAGE


def code_digest(program: str, *extra_modules: str) -> str:
    """Digest of a program under scripts/ and of every package module it imports, directly or not.

    What only readers see doesn't count (`normal_form`). `extra_modules` are dotted names below the package that the
    program loads by name (a loss, a figure).
    """
    digest = hashlib.sha256()
    for path in sorted(_closure(SCRIPTS / program, extra_modules)):
        digest.update(f"{path.relative_to(SCRIPTS)}\0{_meaning(path)}\0".encode())
    modules().save()
    return digest.hexdigest()[:16]


def rule_digests() -> dict[str, str]:
    """Return a digest of each file that decides what a job does: rules, and the code that turns settings into specs."""
    root = SCRIPTS.parent
    rules = (root / "Snakefile", *(root / "rules").glob("*.smk"))
    config = (SCRIPTS / PACKAGE / "config").glob("*.py")
    return _digests({path: _tokens(path) for path in rules} | {path: _meaning(path) for path in config})


def program_digests(program: str = "", *extra_modules: str) -> dict[str, str]:
    """Digest of each file that a program's results depend on, as in `code_digest`; without a program, of all code."""
    everything = (*SCRIPTS.glob("*.py"), *(SCRIPTS / PACKAGE).rglob("*.py"))
    files = _closure(SCRIPTS / program, extra_modules) if program else everything
    return _digests({path: _meaning(path) for path in files})


def template_digest(part: str) -> str:
    """Digest of the templates of a part of the package, which aren't Python."""
    digest = hashlib.sha256()
    for path in sorted((SCRIPTS / PACKAGE / part / "templates").iterdir()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _digests(texts: dict[Path, str]) -> dict[str, str]:
    root = SCRIPTS.parent
    modules().save()
    return {str(path.relative_to(root)): hashlib.sha256(text.encode()).hexdigest()[:16] for path, text in texts.items()}


def _tokens(path: Path) -> str:
    """A file of rules without its comments."""
    skipped = (tokenize.COMMENT, tokenize.NL)
    words = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return "\0".join(word.string for word in words if word.type not in skipped)


def _closure(program: Path, extra_modules: tuple[str, ...]) -> set[Path]:
    extra = {path for name in extra_modules for path in _files(f"{PACKAGE}.{name}")}
    waiting, found = [program, *extra], {program, *extra}
    while waiting:
        for path in _imports(waiting.pop()) - found:
            found.add(path)
            waiting.append(path)
    return found


@functools.cache
def _imports(path: Path) -> frozenset[Path]:
    here = ".".join(path.relative_to(SCRIPTS).with_suffix("").parts[:-1])
    names = (resolve_name(name, here) for name in modules()[path].imports)
    return frozenset(p for name in names if name.startswith(PACKAGE) for p in _files(name))


def _files(name: str) -> set[Path]:
    """The file of a module; nothing for a name that is a function or class, or that is ignored."""
    if name.startswith(tuple(f"{PACKAGE}.{part}" for part in IGNORED)):
        return set()
    base = SCRIPTS.joinpath(*name.split("."))
    return {p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()}


@functools.cache
def _meaning(path: Path) -> str:
    return modules()[path].meaning
