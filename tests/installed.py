"""Pins, and what comes with them as the packages that are installed here say of themselves."""

import importlib.metadata
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def pins(lines: Iterable[str]) -> dict[str, str]:
    """Versions by normalised name, of lines such as `torch==2.13.0  # why`."""
    found = {}
    for line in lines:
        text = line.partition("#")[0].strip()
        if text and not text.startswith("-r"):
            name, _, version = text.partition("==")
            assert version, f"{line}: not pinned"
            found[canonicalize_name(name)] = version
    return found


def brought_by(requirements: Iterable[str]) -> dict[str, str]:
    """Version by normalised name of the requirements and all that they need; what isn't installed is left out."""
    waiting, seen, found = [Requirement(line) for line in requirements], set(), {}
    while waiting:
        wanted = waiting.pop()
        name, extras = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        for need in map(Requirement, importlib.metadata.requires(name) or []):
            if any(need.marker is None or need.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                waiting.append(need)
    return found
