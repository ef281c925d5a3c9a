"""Top-k next-token logits of the teacher, `lm_head(norm(h))` of its cached last hidden states."""

import bisect
import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config.specs import LogitsSpec
from ..errors import JobError
from ..modeling.hidden_states import logits_from_layer_output
from ..modeling.load import load_model
from ..runtime.files import sha256, write_json
from .activations import spans_of
from .cache import TeacherCache, concatenate
from .shards import Shards

SHARD_ROWS = 4096
CHUNK_ROWS = 256  # of which logits are held at once: 160 MB with a vocabulary of 151,936


def top_k(logits: Tensor, k: int, temperatures: list[float]) -> dict[str, Tensor]:
    """Return the k largest logits in descending order with their tokens, and what is needed of the others.

    Returns:
        `max` (rows,) float32, `below` (rows, k) float16, `indices` (rows, k) int32, and `logsumexp` and `rest`
        (rows, temperatures) float32, as `TeacherCache` describes them.
    """
    logits = logits.float()
    values, indices = logits.topk(min(k, logits.shape[-1]), dim=-1)
    others = logits.scatter(-1, indices, -torch.inf)
    full = torch.stack([(logits / t).logsumexp(-1) for t in temperatures], dim=-1)
    return {
        "max": values[:, 0],
        "below": (values[:, :1] - values).to(torch.float16),
        "indices": indices.to(torch.int32),
        "logsumexp": full,
        # Summed and not what the top k leave of 1, which rounding would make far too much of.
        "rest": torch.stack([(others / t).logsumexp(-1) for t in temperatures], dim=-1) - full,
    }


@torch.inference_mode()
def precompute_logits(
    spec: LogitsSpec, model_folder: Path, activations: Path, meta_path: Path, state: Path, output: Path,
    audit_path: Path,
) -> None:  # fmt: skip
    """Write the cache of logits and what it holds, for the prompts that the activations' `meta_path` names."""
    source = TeacherCache(activations)
    meta = json.loads(meta_path.read_text())
    prompts = meta["prompts"]
    shards = Shards(state, source.rows, SHARD_ROWS, prompts)
    if shards.missing():
        model = load_model(model_folder, spec.activations.precision)
        shards.compute(lambda rows: _shard(model, source, rows, spec), "teacher logits")
    lengths = None if source.ends is None else {"answer.lengths": source.file.get_tensor("answer.lengths")}
    if shards.complete():
        concatenate(shards.paths, output, lengths)
        read = {name: meta[name] for name in ("prompts", "dataset")}
        write_json(audit_path, read | _audit(output, spec))


def _shard(model: PreTrainedModel, source: TeacherCache, rows: list[int], spec: LogitsSpec) -> dict[str, Tensor]:
    tensors = {}
    for span in spans_of(spec.activations.text):
        parts = []
        for start in range(rows[0], rows[-1] + 1, CHUNK_ROWS):
            chunk = range(start, min(start + CHUNK_ROWS, rows[-1] + 1))
            hidden = source.get(f"{span}.last", [chunk]).to(model.device)
            found = top_k(logits_from_layer_output(model, hidden), spec.top_k, spec.temperatures)
            _check_finite(source, chunk, span, found)
            parts.append({key: value.cpu() for key, value in found.items()})
        tensors |= {f"{span}.{key}": torch.cat([part[key] for part in parts]) for key in parts[0]}
    return tensors


def _check_finite(source: TeacherCache, rows: range, span: str, found: dict[str, Tensor]) -> None:
    good = torch.stack(
        [value.isfinite().reshape(len(value), -1).all(1) for value in (found["below"], found["logsumexp"])]
    ).all(0)
    if not good.all():
        row = rows[int((~good).nonzero()[0])]
        example = row if source.ends is None else bisect.bisect_right(source.ends, row) - 1
        raise JobError(
            f"training example {example}, {span}: the teacher's logits are not finite, or do not fit float16"
        )


def _audit(path: Path, spec: LogitsSpec) -> dict:
    """What the cache holds; signal.json has the share of the teacher that it covers."""
    cache = TeacherCache(path)
    return {
        "cache": sha256(path),
        "top_k": cache.slices[f"{spans_of(spec.activations.text)[0]}.below"].get_shape()[1],  # at most the vocabulary
        "temperatures": spec.temperatures,
        "examples": cache.examples,
    }
