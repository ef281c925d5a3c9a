"""Saved training state and checkpoints: safetensors and JSON, complete or absent."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import GenerationConfig, PreTrainedModel

from ..runtime.files import flush, write_json
from .sharded import load, whole_optimizer_state, whole_weights


def save_state(
    folder: Path,
    step: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    metrics: list[dict],
    write: bool = True,
) -> None:
    """Write what the next step depends on, then drop older states.

    Every process calls this, because tensors may be sharded over all of them; only the one with `write` writes.
    """
    weights, states = whole_weights(model), whole_optimizer_state(model, optimizer)
    if not write:
        return
    target = folder / f"step-{step:08d}"
    fresh = folder / f".{target.name}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file(weights, fresh / "weights.safetensors")
    save_file(states, fresh / "optimizer.safetensors")
    write_json(fresh / "metrics.json", metrics)
    flush(fresh)
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)
    for older in folder.glob("step-*"):
        if older != target:
            shutil.rmtree(older)


def load_state(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, list[dict]]:
    """Put the newest saved state into model and optimizer; the step it was saved after, and the metrics until then."""
    saved = sorted(folder.glob("step-*"))
    if not saved:
        return 0, []
    weights = load_file(saved[-1] / "weights.safetensors")
    if unknown := sorted(weights.keys() - model.state_dict().keys()):
        raise ValueError(f"the saved state has weights that the model doesn't have: {unknown[:3]}")
    load(model, optimizer, weights, load_file(saved[-1] / "optimizer.safetensors"))
    return int(saved[-1].name.removeprefix("step-")), json.loads((saved[-1] / "metrics.json").read_text())


@contextlib.contextmanager
def _checkpoint(folder: Path, step: int) -> Iterator[Path]:
    """An empty folder that becomes `checkpoint-<step>` after the block."""
    target = folder / f"checkpoint-{step}"
    fresh = folder / f".{target.name}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    yield fresh
    shutil.rmtree(target, ignore_errors=True)
    os.replace(fresh, target)


def save_checkpoint(folder: Path, step: int, model: PeftModel, base_name: str, write: bool = True) -> None:
    """Write the adapter of a step as `checkpoint-<step>` in the PEFT format, with the same bytes every time.

    Every process calls this, as for `save_state`.
    """
    weights = whole_weights(model)
    if not write:
        return
    with _checkpoint(folder, step) as fresh:
        model.save_pretrained(fresh, state_dict=weights, safe_serialization=True)
        config_path = fresh / "adapter_config.json"
        config = json.loads(config_path.read_text())
        # PEFT writes a set in the order of its hashes, and this machine's path of the base model.
        config |= {"target_modules": sorted(config["target_modules"]), "base_model_name_or_path": base_name}
        write_json(config_path, config)
        (fresh / "README.md").unlink(missing_ok=True)


def save_full_checkpoint(
    folder: Path, step: int, model: PreTrainedModel, model_folder: Path, dtype: torch.dtype, write: bool = True
) -> None:
    """Write all weights of a step as `checkpoint-<step>`, a model by itself, with the same bytes every time.

    Every process calls this, as for `save_state`.

    Args:
        model_folder: the fetched model, whose tokenizer and generation settings the checkpoint gets.
        dtype: of the written weights, in which evaluation loads them.
    """
    weights = whole_weights(model, frozen=True)
    if not write:
        return
    with _checkpoint(folder, step) as fresh:
        # The fetched file is copied instead: transformers refuses to write some of those that it reads.
        model.generation_config = GenerationConfig()
        weights = {n: w.to(dtype if w.is_floating_point() else None) for n, w in weights.items()}
        model.save_pretrained(fresh, state_dict=weights)
        (fresh / "generation_config.json").unlink(missing_ok=True)
        config = json.loads((fresh / "config.json").read_text())
        write_json(fresh / "config.json", config | {"dtype": str(dtype).removeprefix("torch.")})
        for path in sorted(model_folder.iterdir()):
            is_weights = path.suffix == ".safetensors" or path.name.endswith(".index.json")
            if path.is_file() and not is_weights and path.name not in ("config.json", "manifest.json"):
                shutil.copyfile(path, fresh / path.name)
