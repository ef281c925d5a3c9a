"""Top-k next-token logits of the teacher, `lm_head(norm(h))` of its cached last hidden states."""

from pathlib import Path

import torch
from torch import Tensor

from ..config.catalogue import POSITIONS
from ..config.specs import LogitsSpec
from ..modeling.hidden_states import logits_from_layer_output
from ..modeling.load import load_model
from ..runtime.errors import JobError
from ..runtime.files import sha256, write_json
from ..runtime.progress import progress
from .cache import TeacherCache, concatenate, save_shard, to_float16

SHARD_ROWS = 256


def top_k(logits: Tensor, k: int, temperatures: list[float]) -> dict[str, Tensor]:
    """The k largest logits (rows, k) in descending order with their tokens, and the full log-sum-exp of logits / T.

    The log-sum-exp, (rows, temperatures), is what says how much probability lies outside the top k.
    """
    values, indices = logits.topk(min(k, logits.shape[-1]), dim=-1)
    full = torch.stack([(logits / t).logsumexp(-1) for t in temperatures], dim=-1)
    return {"values": values, "indices": indices.to(torch.int32), "logsumexp": full}


@torch.inference_mode()
def precompute_logits(
    spec: LogitsSpec, model_folder: Path, activations: Path, state: Path, output: Path, audit_path: Path
) -> None:
    """Write the cache of logits and what it holds."""
    source = TeacherCache(activations)
    starts = range(0, source.rows, SHARD_ROWS)
    shards = [state / f"shard-{start:08d}.safetensors" for start in starts]
    if not all(path.exists() for path in shards):
        model = load_model(model_folder, spec.activations.precision)
        for start, path in progress(list(zip(starts, shards, strict=True)), "teacher logits", unit="shard"):
            if not path.exists():
                rows = list(range(start, min(start + SHARD_ROWS, source.rows)))
                save_shard(path, _shard(model, source, rows, spec))
    concatenate(shards, output)
    write_json(audit_path, _audit(output, spec))


def _shard(model, source: TeacherCache, rows: list[int], spec: LogitsSpec) -> dict[str, Tensor]:
    tensors = {}
    for name in POSITIONS:
        hidden = source.get(name, rows)[:, -1].to(model.device)
        found = top_k(logits_from_layer_output(model, hidden), spec.top_k, spec.temperatures)
        found["values"] = torch.stack(
            [to_float16(v, f"training example {i}, {name}") for i, v in zip(rows, found["values"].cpu(), strict=True)]
        )
        if not torch.isfinite(found["logsumexp"]).all():
            raise JobError(f"training examples {rows[0]} to {rows[-1]}, {name}: the teacher's logits are not finite")
        tensors |= {f"{name}.{key}": value.cpu() for key, value in found.items()}
    return tensors


def _audit(path: Path, spec: LogitsSpec) -> dict:
    """What the cache holds; how much of the teacher that is stands in signal.json."""
    cache = TeacherCache(path)
    return {
        "cache": sha256(path),
        "top_k": cache.slices[f"{POSITIONS[0]}.values"].get_shape()[1],  # at most the vocabulary
        "temperatures": spec.temperatures,
        "examples": cache.rows,
    }
