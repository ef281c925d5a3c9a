"""The teacher's targets for a micro batch, read from its caches."""

import json
from pathlib import Path

import torch
from torch import Tensor

from ..config.targets import POSITIONS, HiddenStatesTarget, LogitsTarget, cached_span
from ..data.sequences import Sequence
from ..errors import JobError
from ..teacher.cache import TeacherCache

CACHED = ("max", "below", "indices", "logsumexp", "rest")
Values = Tensor | dict[str, Tensor]


class TargetCache:
    """A teacher's cache as one target reads it.

    Args:
        target: what is learned.
        cache: `activations.safetensors` or `logits.safetensors`.
        description: the JSON file that describes it.
        examples: number of training examples, which the cache must match.
        dataset: digest of the training split, which the cache must match.

    Raises:
        JobError: the cache has another number of examples, or was made of other ones.
    """

    def __init__(
        self, target: HiddenStatesTarget | LogitsTarget, cache: Path, description: Path, examples: int,
        dataset: str | None = None,
    ) -> None:  # fmt: skip
        self.target, self.cache = target, TeacherCache(cache)
        if self.cache.examples != examples:
            raise JobError(f"{cache} has {self.cache.examples} examples, but there are {examples} training examples")
        self.description = json.loads(description.read_text())
        if dataset and self.description.get("dataset", dataset) != dataset:
            raise JobError(
                f"{cache} was computed from another training split than the run's own, though of as many examples; "
                "remove the cache, and the next run computes it again"
            )

    def of(self, examples: list[int], sequences: list[Sequence]) -> Values:
        """Read the values at the target's span of each example, one after another, on the CPU.

        An answer that was cut has fewer tokens than the teacher read.

        Returns:
            Hidden states (tokens, layers, hidden), or for logits a dictionary as `losses.top_k` describes it.

        Raises:
            JobError: the teacher read fewer tokens of an answer than the student does.
        """
        span, rows = self.target.span, []
        for example, sequence in zip(examples, sequences, strict=True):
            known, wanted = self.cache.span(cached_span(span), example), sequence.span(span)
            # Rows of an answer begin with the token that is predicted at the prompt's end.
            first = wanted.start if span in POSITIONS else sequence.prompt.prompt_end
            if wanted.stop - first > len(known):
                raise JobError(
                    f"training example {example}: expected {wanted.stop - first} answer tokens in the teacher's cache, "
                    f"got {len(known)}; remove the cache, and the next run computes it again"
                )
            rows.append(known[wanted.start - first : wanted.stop - first])
        return self._hidden(rows) if self.target.target == "hidden_states" else self._logits(rows)

    def _hidden(self, rows: list[range]) -> Tensor:
        hidden, layers = self.cache.get(cached_span(self.target.span), rows), self.target.layers
        if layers == "all":
            return hidden
        # Behind a question all layers are kept, of an answer those that conditions name.
        kept = self.description["layers"] or list(range(hidden.shape[1]))
        return hidden[:, [kept.index(layer) for layer in layers]]

    def _logits(self, rows: list[range]) -> dict[str, Tensor]:
        span, k = cached_span(self.target.span), self.target.top_k
        part = {key: self.cache.get(f"{span}.{key}", rows) for key in CACHED}
        t = self.target.temperature
        number = self.description["temperatures"].index(t)
        values, full = part["max"].unsqueeze(1) - part["below"].float(), part["logsumexp"][:, number]
        # Cached tokens beyond this target's top k are part of its rest.
        rest = part["rest"][:, number : number + 1]
        rest = torch.cat([values[:, k:] / t - full.unsqueeze(1), rest], dim=1).logsumexp(1)
        return {"values": values[:, :k], "indices": part["indices"][:, :k], "logsumexp": full, "rest": rest}


def to_device(values: Values, device: torch.device) -> Values:
    """Move values to a device, without waiting for the copy."""
    if isinstance(values, dict):
        return {name: value.to(device, non_blocking=True) for name, value in values.items()}
    return values.to(device, non_blocking=True)
