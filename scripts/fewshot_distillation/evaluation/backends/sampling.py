"""Drawing tokens in place of taking the likeliest ones."""

import hashlib

import torch
from torch import Tensor

from ...config.conditions import Sampling


def seed_of(sampling: Sampling, prompt: list[int]) -> int:
    """Return the seed of one prompt's answer: other prompts and batches have no influence on it."""
    digest = hashlib.sha256(f"{sampling.seed} {prompt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1  # within what every backend takes


class Sampler:
    """Draws from softmax(logits / T) by Gumbel's trick: the likeliest token once each logit has noise of its own.

    Args:
        prompts: token ids; each has a generator of its own, from which one row of noise is taken a token.
    """

    def __init__(self, sampling: Sampling, prompts: list[list[int]], where: torch.device) -> None:
        self.temperature = sampling.temperature
        self.generators = [torch.Generator(where).manual_seed(seed_of(sampling, prompt)) for prompt in prompts]

    def noisy(self, logits: Tensor, rows: list[int]) -> Tensor:
        """Return logits (len(rows), vocabulary) of these prompts' next tokens over T, with noise."""
        scaled = logits.float() / self.temperature
        noise = [torch.empty_like(scaled[0]).exponential_(generator=self.generators[row]).log() for row in rows]
        return scaled - torch.stack(noise)

    def __call__(self, logits: Tensor, rows: list[int]) -> Tensor:
        """Draw a token for each of these prompts, (len(rows),)."""
        return self.noisy(logits, rows).argmax(-1)


def likeliest(logits: Tensor, rows: list[int]) -> Tensor:
    """Return the likeliest token of each row, (len(rows),)."""
    return logits.argmax(-1)
