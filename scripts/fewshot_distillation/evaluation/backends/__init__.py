"""Inference backends behind one interface.

Each is a file `<name>_backend.py` in this folder with two functions, and a third if `auto` may choose it:

    available() -> str | None     why it can't be used here, or None
    create(setting) -> Backend    the backend itself (see `base.py`)
    preference() -> int           `auto` takes the available backend with the highest; 0 is never taken

`BY_PEFT = True` in it says that PEFT applies adapters there, so that all of its kinds may be used.
"""

import importlib
import logging
from types import ModuleType

from ...config.engines import engines
from ...errors import JobError
from .base import Backend, Setting

log = logging.getLogger("fewshot_distillation")


def choose(backend: str) -> str:
    """Return the name of the backend that a job uses; for `auto`, the preferred one that is available here.

    Raises:
        JobError: the backend that is asked for isn't available.
    """
    if backend != "auto":
        if reason := _module(backend).available():
            raise JobError(f"evaluation.backend: {reason}; or choose another backend")
        return backend
    automatic = [name for name, allowed in engines().items() if allowed]
    ranked = sorted(((_module(name).preference(), name) for name in automatic), reverse=True)
    for preference, name in ranked:
        reason = _module(name).available() if preference > 0 else "not preferred here"
        if reason is None:
            return name
        if preference > 0:
            log.warning("evaluation.backend: %s; another backend generates, which may take far longer", reason)
    raise JobError("evaluation.backend: no backend is available for 'auto'; name one")


def by_peft(name: str) -> bool:
    """Return whether PEFT applies adapters in the backend of a name."""
    return getattr(_module(name), "BY_PEFT", False)


def create(name: str, setting: Setting) -> Backend:
    """Make the backend of a name."""
    return _module(name).create(setting)


def _module(name: str) -> ModuleType:
    # Loaded by name, so that editing one backend makes no other's answers stale.
    return importlib.import_module(f"{__name__}.{name}_backend")
