"""A micro batch: sequences packed into one row, and the tokens of it at which losses are computed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..config.targets import HiddenStatesTarget, LogitsTarget
from ..modeling.packed import Packed, Selection, pack
from .examples import Example
from .targets import TargetCache, Values, to_device

Target = HiddenStatesTarget | LogitsTarget


@dataclass(frozen=True)
class Head:
    """Tokens whose logits are computed, and what is computed from them.

    `labels` (tokens,) are the tokens that follow, for the cross-entropy; None without it. `targets` are the numbers of
    the targets at these tokens.
    """

    chosen: Selection
    labels: Tensor | None
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """A packed micro batch.

    `states` has the tokens of each target of hidden states, `values` what each target learns, by the target's number.
    """

    packed: Packed
    heads: list[Head]
    states: dict[int, Selection]
    values: dict[int, Values]

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device, without waiting for what that does."""
        heads = [
            replace(
                h,
                chosen=h.chosen.to(device),
                labels=None if h.labels is None else h.labels.to(device, non_blocking=True),
            )
            for h in self.heads
        ]
        states = {number: chosen.to(device) for number, chosen in self.states.items()}
        values = {number: to_device(value, device) for number, value in self.values.items()}
        return Batch(self.packed.to(device), heads, states, values)


def collate(examples: list[Example], targets: list[Target], caches: list[TargetCache]) -> Batch:
    """Pack examples, and read what they have to learn.

    Cross-entropy and a target at the same tokens, as at every answer token, share their logits.
    """
    packed = pack([example.sequence.ids for example in examples])
    taught = [n for n, example in enumerate(examples) if example.targets]

    def tokens(which: list[int], span: str) -> tuple[int, ...]:
        return tuple(packed.starts[n] + j for n in which for j in examples[n].sequence.span(span))

    plain = [n for n, example in enumerate(examples) if example.cross_entropy]
    labels = [token for n in plain for token in examples[n].sequence.answer]
    places, values, states = tokens(plain, "answer"), {}, {}
    at: dict[tuple[int, ...], list[int]] = {places: []} if places else {}
    for number, (target, cache) in enumerate(zip(targets, caches, strict=True)):
        chosen = tokens(taught, target.span)
        if chosen:
            mine = [examples[n] for n in taught]
            values[number] = cache.of([example.index for example in mine], [example.sequence for example in mine])
            if target.target == "hidden_states":
                states[number] = _selection(chosen, packed)
            else:
                at.setdefault(chosen, []).append(number)
    heads = [
        Head(_selection(chosen, packed), torch.tensor(labels) if chosen == places else None, tuple(numbers))
        for chosen, numbers in at.items()
    ]
    return Batch(packed, heads, states, values)


def _selection(places: tuple[int, ...], packed: Packed) -> Selection:
    return Selection(torch.tensor(places), packed.tokens)


@dataclass(frozen=True)
class StepPlan:
    """What a step reads.

    `mine` numbers the micro batches of this process, `tokens` says how many tokens each term is averaged over.
    """

    step: int
    examples: list[Example]
    micro_batches: list[list[Example]]
    mine: range
    tokens: dict[str, int]
