"""What there is to learn from a teacher: how far the untrained model without demonstrations is from it.

Measured over all training questions before anything is trained, so that a target without content is seen in time.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ..config.catalogue import POSITIONS
from ..config.specs import SignalSpec
from ..data.prompts import PromptBuilder
from ..data.rows import read_jsonl
from ..modeling.hidden_states import Capture, decoder_of, logits_from_layer_output
from ..modeling.load import load_model
from ..modeling.prefix import PrefixReader
from ..runtime.errors import JobError
from ..runtime.files import sha256, write_json
from .activations import hidden_states
from .cache import TeacherCache
from .shards import Shards

SHARD_ROWS = 64


def compare_logits(teacher: Tensor, student: Tensor, temperatures: list[float], top_k: list[int]) -> dict[str, Tensor]:
    """Next-token distributions of teacher and student, from logits (rows, vocabulary), in float64.

    Returns:
        `kl` (rows, temperatures): KL(teacher ‖ student) of the softmax of logits / T over the whole vocabulary in nats,
        not multiplied by T²; `coverage` (rows, k, temperatures): the teacher's probability of its k likeliest tokens;
        `top1` (rows,) and `entropy` (rows,) in nats: of the teacher at T = 1.
    """
    teacher, student = teacher.double(), student.double()
    kl, coverage = [], []
    for t in temperatures:
        log_p, log_q = (teacher / t).log_softmax(-1), (student / t).log_softmax(-1)
        kl.append((log_p.exp() * (log_p - log_q)).sum(-1))
        likeliest = log_p.topk(min(max(top_k), log_p.shape[-1])).values.exp().cumsum(-1)
        coverage.append(torch.stack([likeliest[:, min(k, likeliest.shape[-1]) - 1] for k in top_k], dim=-1))
    log_p = teacher.log_softmax(-1)
    return {
        "kl": torch.stack(kl, dim=-1),
        "coverage": torch.stack(coverage, dim=-1),
        "top1": log_p.max(-1).values.exp(),
        "entropy": -(log_p.exp() * log_p).sum(-1),
    }


def compare_hidden_states(teacher: Tensor, student: Tensor) -> dict[str, Tensor]:
    """Distances of hidden states (…, layers, hidden) layer by layer, (…, layers), in float64.

    Returns:
        `normalized_distance`: ‖ĥ(student) − ĥ(teacher)‖² of states with unit L2 norm, whose sum over layers is the loss
        of layer-wise distillation; `distance`: the same of the states as they are; `cosine`: their similarity.
    """
    teacher, student = teacher.double(), student.double()
    unit = F.normalize(student, dim=-1) - F.normalize(teacher, dim=-1)
    return {
        "normalized_distance": unit.square().sum(-1),
        "distance": (student - teacher).square().sum(-1),
        "cosine": F.cosine_similarity(student, teacher, dim=-1),
    }


class Auditor:
    """Compares the teacher's cache with the frozen model on zero-shot prompts, one training example at a time."""

    def __init__(self, spec: SignalSpec, model_folder: Path, prompts: list, cache: TeacherCache) -> None:
        self.spec, self.prompts, self.cache = spec, prompts, cache
        self.model = load_model(model_folder, spec.activations.precision)
        self.decoder = decoder_of(self.model)
        self.capture = Capture(self.decoder)
        with torch.inference_mode():
            self.reader = PrefixReader(self.decoder, [prompt.ids for prompt in prompts])

    @torch.inference_mode()
    def row(self, index: int) -> dict[str, Tensor]:
        """Every figure of one example, with the positions as the first dimension.

        Raises:
            JobError: names the example if a figure isn't finite.
        """
        found = hidden_states(self.capture, self.decoder, self.reader, self.prompts[index])
        student = torch.stack([found[name] for name in POSITIONS])
        teacher = torch.cat([self.cache.get(name, [index]) for name in POSITIONS]).to(student.device)
        if teacher.shape != student.shape:
            raise JobError(
                f"the teacher's cache has (layers, hidden) {tuple(teacher.shape[1:])}, the model has "
                f"{tuple(student.shape[1:])}"
            )
        last = torch.cat([teacher[:, -1].to(student.dtype), student[:, -1]])
        logits = logits_from_layer_output(self.model, last)
        figures = compare_hidden_states(teacher, student)
        figures |= compare_logits(*logits.chunk(2), self.spec.temperatures, self.spec.top_k)
        for name, values in figures.items():
            if not torch.isfinite(values).all():
                raise JobError(f"training example {index}: {name} of teacher and student is not finite")
        return {name: values.cpu() for name, values in figures.items()}


def audit_signal(
    spec: SignalSpec,
    model_folder: Path,
    train_path: Path,
    activations: Path,
    meta_path: Path,
    state: Path,
    output: Path,
) -> None:
    """Write signal.json; shards in `state` that are already there are kept.

    Each process of a launch computes its share of the shards; the first one writes the output.

    Raises:
        JobError: the cache is of another model or of other data.
    """
    train = read_jsonl(train_path)
    meta = json.loads(meta_path.read_text())
    cache = TeacherCache(activations)
    same = {"model": sha256(model_folder / "manifest.json"), "dataset": sha256(train_path)}
    for name, digest in same.items():
        if meta[name] != digest:
            raise JobError(f"{activations} was computed from another {name}")
    if cache.rows != len(train):
        raise JobError(f"{activations} has {cache.rows} rows, but there are {len(train)} training examples")
    builder = PromptBuilder.of_model(model_folder, spec.activations.model.chat_template)
    prompts = [builder.build(row["question"]) for row in train]
    shards = Shards(state, len(prompts), SHARD_ROWS)
    if shards.missing():
        shards.compute(Auditor(spec, model_folder, prompts, cache).row, "signal")
    if shards.complete():
        hidden_size = cache.slices[POSITIONS[0]].get_shape()[-1]
        write_json(output, _summary(spec, shards.paths) | {"hidden_size": hidden_size})


def _summary(spec: SignalSpec, shards: list[Path]) -> dict[str, Any]:
    """Means over the examples for each position."""
    parts = [load_file(path) for path in shards]
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    mean = {name: values.mean(0) for name, values in rows.items()}
    least = rows["coverage"].min(0).values
    texts = [json.dumps(t) for t in spec.temperatures]
    positions = {}
    for p, position in enumerate(POSITIONS):
        positions[position] = {
            "kl": dict(zip(texts, mean["kl"][p].tolist(), strict=True)),
            "top1_probability": mean["top1"][p].item(),
            "entropy": mean["entropy"][p].item(),
            "coverage": {
                str(k): {
                    t: {"mean": mean["coverage"][p, n, i].item(), "min": least[p, n, i].item()}
                    for i, t in enumerate(texts)
                }
                for n, k in enumerate(spec.top_k)
            },
            "layers": {name: mean[name][p].tolist() for name in ("normalized_distance", "distance", "cosine")},
        }
    return {
        "model": spec.activations.model.name,
        "teacher": spec.activations.teacher_name,
        "examples": len(rows["kl"]),
        "positions": positions,
    }
