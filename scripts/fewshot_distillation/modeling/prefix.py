"""Reading a beginning that many prompts share only once, by its keys and values."""

import torch
from torch import nn
from transformers import DynamicCache


def common_length(left: list[int], right: list[int]) -> int:
    """How many tokens two prompts share from their beginning."""
    for n, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return n
    return min(len(left), len(right))


def shared_prefix(prompts: list[list[int]]) -> list[int]:
    """A beginning that at least half of the prompts share and that is at least half as long as a usual one, or nothing.

    In sorted order whatever two prompts share is shared by all between them, so the middle half is looked at. Fixed
    demonstrations give such a prefix; demonstrations drawn for each example don't.
    """
    ordered = sorted(prompts)
    low, high = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    # At least one token is left to be read, because its output is what is wanted.
    length = min(common_length(low, high), min(map(len, prompts)) - 1)
    usual = sorted(map(len, prompts))[len(prompts) // 2]
    return low[:length] if len(prompts) > 1 and 2 * length >= usual else []


class PrefixReader:
    """Prepares the reading of prompts one at a time, each after the keys and values of what it shares with others."""

    def __init__(self, decoder: nn.Module, prompts: list[list[int]]) -> None:
        self.prefix = shared_prefix(prompts)
        self.layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        if self.prefix:
            cache = DynamicCache()
            where = next(decoder.parameters()).device
            decoder(input_ids=torch.tensor([self.prefix], device=where), past_key_values=cache, use_cache=True)
            self.layers = [(layer.keys, layer.values) for layer in cache.layers]

    def start(self, ids: list[int]) -> tuple[DynamicCache, int]:
        """A cache that holds the beginning of a prompt, and how many of its tokens that is."""
        if self.prefix and ids[: len(self.prefix)] == self.prefix:
            # Reading on joins new tensors from these, so they stay as they are.
            return DynamicCache(self.layers), len(self.prefix)
        return DynamicCache(), 0
