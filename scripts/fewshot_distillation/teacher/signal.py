"""What there is to learn from a teacher: how far the base model without demonstrations is from it.

Measured over all training questions before anything is trained, so that a target without content is seen in time.
"""

import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ..config.conditions import QUESTION
from ..config.specs import SignalSpec
from ..data.prompts import PromptBuilder, digest_of
from ..data.rows import read_jsonl
from ..data.sequences import Sequence, answer_tokens, zero_shot_prompts
from ..errors import JobError
from ..modeling.hidden_states import logits_from_layer_output
from ..modeling.load import load_model
from ..runtime.files import sha256, write_json
from .activations import spans_of
from .cache import TeacherCache
from .reading import Reader
from .shards import Shards

SHARD_ROWS = 64
# Examples whose answers are read, evenly spread over all: thousands of tokens give a mean that is exact enough.
MOST_ANSWERS = 256
CHUNK_ROWS = 128  # of which both distributions are held at once, in float64: 300 MB with a vocabulary of 151,936
LAYER_FIGURES = ("normalized_distance", "distance", "cosine")


def compare_logits(teacher: Tensor, student: Tensor, temperatures: list[float], top_k: list[int]) -> dict[str, Tensor]:
    """Compare next-token distributions of teacher and student, from logits (rows, vocabulary), in float64.

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
    """Compute distances of hidden states (…, layers, hidden) layer by layer, (…, layers), in float64.

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
    """Compares the teacher's cache with the frozen model on zero-shot prompts."""

    def __init__(self, spec: SignalSpec, model_folder: Path, sequences: list[Sequence], cache: TeacherCache) -> None:
        self.spec, self.sequences, self.cache = spec, sequences, cache
        self.spans = spans_of(spec.activations.text)
        # Where layers are kept they are compared; the last layer's states give the logits.
        self.layers = self.spans[0] in cache.slices
        self.model = load_model(model_folder, spec.activations.precision)
        last = self.model.config.get_text_config().num_hidden_layers - 1
        chosen = None if spec.activations.text == QUESTION else [*spec.activations.layers, last]
        self.reader = Reader(self.model, sequences, self.spans, chosen)

    @torch.inference_mode()
    def values(self, examples: list[int]) -> dict[str, Tensor]:
        """Compute every figure of each token of the spans, `<span>.<figure>` (tokens, …).

        Raises:
            JobError: names the example if a figure isn't finite, or if the cache is of a model of another size.
        """
        found = {}
        for span, student in self.reader.read(examples).items():
            rows = [self.cache.span(span, i) for i in examples]
            figures = self._logits(self.cache.get(f"{span}.last", rows).to(student.device), student[:, -1])
            if self.layers:
                teacher = self.cache.get(span, rows).to(student.device)
                states = student if self.spec.activations.text == QUESTION else student[:, :-1]
                _check_size(teacher, states)
                figures |= compare_hidden_states(teacher, states)
            owners = [i for i in examples for _ in self.sequences[i].span(span)]
            for name, values in figures.items():
                finite = torch.isfinite(values).reshape(len(values), -1).all(1)
                if not finite.all():
                    example = owners[int((~finite).nonzero()[0])]
                    raise JobError(f"training example {example}: {name} of teacher and student is not finite")
                found[f"{span}.{name}"] = values.cpu()
        return found

    def _logits(self, teacher: Tensor, student: Tensor) -> dict[str, Tensor]:
        """Figures of next-token distributions, from the last layer's states (tokens, hidden)."""
        _check_size(teacher, student)
        parts = []
        for t, s in zip(teacher.split(CHUNK_ROWS), student.split(CHUNK_ROWS), strict=True):
            logits = logits_from_layer_output(self.model, torch.cat([t.to(s.dtype), s]))
            parts.append(compare_logits(*logits.chunk(2), self.spec.temperatures, self.spec.top_k))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _check_size(teacher: Tensor, student: Tensor) -> None:
    if teacher.shape != student.shape:
        raise JobError(f"the teacher's cache has states of {tuple(teacher.shape)}, the model of {tuple(student.shape)}")


def audit_signal(
    spec: SignalSpec,
    model_folder: Path,
    train_path: Path,
    activations: Path,
    meta_path: Path,
    state: Path,
    output: Path,
    written: Path | None = None,
) -> None:
    """Write signal.json; shards in `state` that are already there are kept.

    Each process of a launch computes its share of the shards; the first one writes the output. Answers have many
    tokens, so of those at most `MOST_ANSWERS` are read.

    Raises:
        JobError: the cache is of another model, of other data or of other answers.
    """
    train = read_jsonl(train_path)
    meta = json.loads(meta_path.read_text())
    cache = TeacherCache(activations)
    same = {"model": sha256(model_folder / "manifest.json"), "dataset": sha256(train_path)}
    for name, digest in same.items():
        if meta[name] != digest:
            raise JobError(f"{activations} was computed from another {name}")
    if cache.examples != len(train):
        raise JobError(f"{activations} has {cache.examples} examples, but there are {len(train)} training examples")
    model, text = spec.activations.model, spec.activations.text
    builder = PromptBuilder.of_model(model_folder, model.chat_template, model.wording)
    answers = [[]] * len(train) if text == QUESTION else answer_tokens(text, train, builder, written)
    if digest_of(answers) != meta["answers"]:
        raise JobError(f"{activations} was computed with other answers")
    chosen = list(range(len(train)))
    if text != QUESTION:
        chosen = chosen[:: max(1, len(train) // MOST_ANSWERS)][:MOST_ANSWERS]
    asked = zero_shot_prompts(builder, dict(enumerate(train)))
    sequences = [Sequence(asked[index], answer) for index, answer in enumerate(answers)]
    prompts = digest_of(sequence.ids for sequence in sequences)
    shards = Shards(state, len(chosen), SHARD_ROWS, prompts)
    if shards.missing():
        auditor = Auditor(spec, model_folder, sequences, cache)
        shards.compute(lambda places: auditor.values([chosen[place] for place in places]), "signal")
    if shards.complete():
        width = cache.slices[f"{spans_of(text)[0]}.last"].get_shape()[-1]
        summary = {"text": text, "examples": len(chosen), "hidden_size": width, "layers": spec.activations.layers}
        summary |= {"prompts": prompts}
        write_json(output, _summary(spec, shards.paths) | summary)


def _summary(spec: SignalSpec, shards: list[Path]) -> dict[str, Any]:
    """Means over the tokens of each span."""
    parts = [load_file(path) for path in shards]
    rows = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    texts = [json.dumps(t) for t in spec.temperatures]
    positions = {}
    for span in spans_of(spec.activations.text):
        mine = {name.partition(".")[2]: values for name, values in rows.items() if name.partition(".")[0] == span}
        mean = {name: values.mean(0) for name, values in mine.items()}
        least = mine["coverage"].min(0).values
        positions[span] = {
            "tokens": len(mine["kl"]),
            "kl": dict(zip(texts, mean["kl"].tolist(), strict=True)),
            "top1_probability": mean["top1"].item(),
            "entropy": mean["entropy"].item(),
            "coverage": {
                str(k): {
                    t: {"mean": mean["coverage"][n, i].item(), "min": least[n, i].item()} for i, t in enumerate(texts)
                }
                for n, k in enumerate(spec.top_k)
            },
            "layers": {name: mean[name].tolist() for name in LAYER_FIGURES if name in mean},
        }
    return {"model": spec.activations.model.name, "teacher": spec.activations.teacher_name, "positions": positions}
