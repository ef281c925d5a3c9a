"""Packed batches: sequences one after another in one row, so that nothing is spent on padding.

A model whose attention can't keep them apart (see `packed_attention`) reads the same batches padded, behind the same
functions: hidden states are (tokens, hidden) in either case, and token j of sequence i is at `starts[i] + j`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from ..errors import JobError
from .packed_attention import SharedKeys, is_packed
from .prefix import shared_prefix

# Tokens of a forward pass without gradients: what keeps a GPU busy, and what stays in a CPU's caches.
PASS_TOKENS = {"cuda": 16384, "cpu": 2048}


@dataclass(frozen=True)
class Prefix:
    """A beginning that many prompts share, read once: its tokens, and of each layer keys and values.

    `layers`: (1, key heads, beginning, features) each.
    """

    ids: list[int]
    layers: list[tuple[Tensor, Tensor]]

    @classmethod
    def read(cls, decoder: nn.Module, prompts: list[list[int]]) -> Prefix | None:
        """Read what the prompts share (see `shared_prefix`), or None if that isn't much."""
        ids = shared_prefix(prompts)
        if not ids:
            return None
        cache = DynamicCache()
        packed = pack([ids]).to(next(decoder.parameters()).device)
        decoder(**_inputs(packed, is_packed(decoder)), past_key_values=cache, use_cache=True)
        return cls(ids, [(layer.keys, layer.values) for layer in cache.layers])

    def begins(self, prompt: list[int]) -> bool:
        return len(prompt) > len(self.ids) and prompt[: len(self.ids)] == self.ids


@dataclass(frozen=True)
class Packed:
    """A packed batch.

    `input_ids`, `position_ids`: (1, tokens); positions start anew at each sequence. `cu_seq_lens`: (sequences + 1,)
    int32, where each begins and the number of tokens; `max_length`: of the longest. `starts`: token j of sequence i is
    at index starts[i] + j. With a `prefix` the tokens are those after it, and j still counts from a prompt's beginning.
    """

    input_ids: Tensor
    position_ids: Tensor
    cu_seq_lens: Tensor
    max_length: int
    starts: tuple[int, ...]
    prefix: Prefix | None = None

    @property
    def tokens(self) -> int:
        return self.input_ids.shape[1]

    def to(self, device: torch.device) -> Packed:
        names = ("input_ids", "position_ids", "cu_seq_lens")
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        return replace(self, **moved)

    def padded_places(self) -> Tensor:
        """Return (tokens,): where each token is among those of (sequences, max_length) right-padded ones."""
        first = self.cu_seq_lens[:-1].long()
        rows = torch.arange(len(first), device=first.device)
        shift = (rows * self.max_length - first).repeat_interleave(self.cu_seq_lens.diff(), output_size=self.tokens)
        return torch.arange(self.tokens, device=first.device) + shift


def pack(sequences: Sequence[list[int]], prefix: Prefix | None = None) -> Packed:
    """Pack all tokens into one row, on the CPU; of sequences that all begin with `prefix`, those after it.

    Raises:
        ValueError: there are no sequences, one is empty, or one doesn't begin with the prefix.
    """
    known = 0
    if prefix is not None:
        if not all(prefix.begins(ids) for ids in sequences):
            raise ValueError("a sequence does not begin with the prefix, or ends with it")
        known = len(prefix.ids)
        sequences = [ids[known:] for ids in sequences]
    lengths = [len(ids) for ids in sequences]
    if not lengths or min(lengths) == 0:
        raise ValueError("expected at least one sequence, and none that is empty")
    ends = torch.tensor([0, *lengths]).cumsum(0)
    return Packed(
        input_ids=torch.tensor([[token for ids in sequences for token in ids]]),
        position_ids=torch.cat([torch.arange(known, known + n) for n in lengths]).unsqueeze(0),
        cu_seq_lens=ends.to(torch.int32),
        max_length=max(lengths),
        starts=tuple(start - known for start in ends[:-1].tolist()),
        prefix=prefix,
    )


class Selection:
    """Chosen tokens of a packed batch, in a given order.

    The gradient is a gather as well: `index_select` alone would add in the backward pass, in an order that a GPU
    chooses, and its deterministic form sorts first.
    """

    def __init__(self, index: Tensor, tokens: int, inverse: Tensor | None = None) -> None:
        """Of `index` (chosen,) int64 among so many tokens; on any device."""
        self.index, self.tokens = index, tokens
        if inverse is None:
            # For each token its place among the chosen ones, or the place after the last.
            inverse = torch.full((tokens,), len(index), device=index.device)
            inverse[index] = torch.arange(len(index), device=index.device)
        self.inverse = inverse

    def to(self, device: torch.device) -> Selection:
        index, inverse = (x.to(device, non_blocking=True) for x in (self.index, self.inverse))
        return Selection(index, self.tokens, inverse)

    def of(self, values: Tensor) -> Tensor:
        """Choose (chosen, …) of (tokens, …). Where a gradient is needed no token may be chosen twice."""
        return _Pick.apply(values, self.index, self.inverse)


class _Pick(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, index: Tensor, inverse: Tensor) -> Tensor:
        # Not by `save_for_backward`: gradient checkpointing counts what a layer saves, and its second run has no hooks.
        ctx.inverse = inverse
        return values.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        none = gradient.new_zeros(1, *gradient.shape[1:])
        return torch.cat([gradient, none]).index_select(0, ctx.inverse), None, None


def _shared_keys(packed: Packed) -> SharedKeys:
    """The prefix's keys, and which of them and of the batch's belong to each sequence."""
    known, where = len(packed.prefix.ids), packed.cu_seq_lens.device
    begin = torch.arange(known)
    # Of a batch on a GPU this is the one place that waits for it, once a pass.
    ends = packed.cu_seq_lens.tolist()
    own = [torch.arange(known + a, known + b) for a, b in zip(ends, ends[1:], strict=False)]
    index = torch.cat([part for mine in own for part in (begin, mine)])
    lengths = packed.cu_seq_lens + known * torch.arange(len(ends), dtype=torch.int32, device=where)
    return SharedKeys(packed.prefix.layers, index.to(where), lengths.to(torch.int32), known + packed.max_length)


def _inputs(packed: Packed, in_one_row: bool) -> dict[str, Any]:
    if in_one_row:
        inputs = {
            "input_ids": packed.input_ids,
            "position_ids": packed.position_ids,
            "cu_seq_lens_q": packed.cu_seq_lens,
            "max_length_q": packed.max_length,
        }
        return inputs if packed.prefix is None else inputs | {"shared_keys": _shared_keys(packed)}
    # Padding comes last and attention is causal, so no token that counts ever sees it: there is no mask.
    rows = len(packed.cu_seq_lens) - 1
    ids = packed.input_ids.new_zeros(rows * packed.max_length)
    ids[packed.padded_places()] = packed.input_ids[0]
    inputs = {"input_ids": ids.view(rows, packed.max_length)}
    if packed.prefix is not None:
        expanded = [(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in packed.prefix.layers]
        inputs["past_key_values"] = DynamicCache(expanded)
    return inputs


def packed_hidden(decoder: nn.Module, packed: Packed, cache: DynamicCache | None = None) -> Tensor:
    """Compute hidden states after the final norm, (tokens, hidden).

    Args:
        cache: an empty one, for the keys and values of the batch's one row; only of a model that packs.
    """
    in_one_row = is_packed(decoder)
    inputs = _inputs(packed, in_one_row)
    if cache is not None:
        inputs["past_key_values"] = cache
    hidden = decoder(**inputs, use_cache="past_key_values" in inputs).last_hidden_state.flatten(0, 1)
    return hidden if in_one_row else Selection(packed.padded_places(), len(hidden)).of(hidden)


def micro_batches(
    lengths: Sequence[int],
    budget: int,
    processes: int = 1,
    padded: bool = False,
    key: str = "training.micro_batch_tokens",
) -> list[list[int]]:
    """Group sequences in as few batches as hold at most `budget` tokens each, longest first; return their indices.

    Batches are equally large as far as that goes, and their number is a multiple of `processes` (unless there are
    fewer sequences). With `padded`, a batch counts as many tokens as it has with padding.

    Raises:
        JobError: one sequence is longer than the budget.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    if order and lengths[order[0]] > budget:
        raise JobError(
            f"a sequence of {lengths[order[0]]} tokens is longer than {key} {budget}; raise it, or shorten sequences"
        )

    def filled(limit: int) -> list[list[int]]:
        batches: list[list[int]] = []
        total = 0
        for i in order:
            batch = batches[-1] if batches else []
            after = (len(batch) + 1) * lengths[batch[0]] if padded and batch else total + lengths[i]
            if not batch or after > limit:
                batches.append([])
                after = lengths[i]
            batches[-1].append(i)
            total = after
        return batches

    fewest = -(-len(filled(budget)) // processes) * processes
    low, high = (lengths[order[0]], budget) if order else (0, 0)
    while low < high:  # the smallest limit that needs no more batches
        middle = (low + high) // 2
        low, high = (low, middle) if len(filled(middle)) <= fewest else (middle + 1, high)
    batches = filled(high)
    while len(batches) < min(fewest, len(order)):
        largest = max(range(len(batches)), key=lambda b: (len(batches[b]) > 1, sum(lengths[i] for i in batches[b]), -b))
        batch = batches[largest]
        batches[largest : largest + 1] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return batches


def forward_passes(
    sequences: Sequence[list[int]], prefix: Prefix | None, device: torch.device, padded: bool = False
) -> list[tuple[list[int], Prefix | None]]:
    """Group sequences into passes over the frozen model; return their indices, and the beginning that they share.

    Passes have `PASS_TOKENS` tokens at most, or one sequence that is longer.
    """
    found = []
    shared = [prefix is not None and prefix.begins(ids) for ids in sequences]
    for known in (True, False):
        part = [i for i, begins in enumerate(shared) if begins is known]
        begun = len(prefix.ids) if known and part else 0
        lengths = [len(sequences[i]) - begun for i in part]
        budget = max([PASS_TOKENS[device.type], *lengths])
        batches = micro_batches(lengths, budget, padded=padded)
        found += [([part[i] for i in batch], prefix if known else None) for batch in batches]
    return found
