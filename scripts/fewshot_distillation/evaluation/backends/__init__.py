"""Engines that generate answers, behind one interface; `choose` says which of them a job uses."""

import importlib
import importlib.util
import logging

import torch

from ...runtime.errors import JobError
from .base import Backend, Setting

log = logging.getLogger("fewshot_distillation")


def choose(backend: str) -> str:
    """The engine's name: for `auto` vLLM on a GPU, where it is installed, and else transformers.

    Raises:
        JobError: vLLM is asked for and not installed.
    """
    installed = importlib.util.find_spec("vllm") is not None
    if backend == "vllm" and not installed:
        raise JobError(
            "evaluation.backend: vLLM isn't installed here; install envs/requirements-gpu.txt or choose transformers"
        )
    if backend != "auto":
        return backend
    if torch.cuda.is_available() and not installed:
        log.warning("vLLM isn't installed, so transformers generates, which takes far longer on a GPU")
    return "vllm" if torch.cuda.is_available() and installed else "transformers"


def create(name: str, setting: Setting) -> Backend:
    """The engine of a name; its file is loaded only here, so that editing one makes no other's answers stale."""
    return importlib.import_module(f"{__name__}.{name}_backend").create(setting)
