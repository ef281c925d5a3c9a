"""Losses over a large vocabulary, with the logits of a few tokens at a time.

All logits of 32 GSM8K answers over Qwen3's vocabulary take 2.3 GB in float32, and a loss and its gradient hold several
such matrices. Here no more than a chunk's exists at any time.

`torch.nn.functional.linear_cross_entropy` does the same for cross-entropy, in fewer steps, but without label smoothing
or capped logits; soft targets and other losses it hasn't in chunks either.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from .hidden_states import logits_of

# In a chunk, in float32: 256 MB. Loss and gradient make about four matrices of that size.
LOGITS = 2**26

Loss = Callable[..., Tensor]


def over_vocabulary(
    model: PreTrainedModel, loss: Loss, hidden: Tensor, *per_token: Tensor, chunk: int | None = None
) -> Tensor:
    """Apply `loss` to the next-token logits of each token.

    Args:
        loss: from float32 logits (tokens, vocabulary) and a part of `per_token`, values of shape (tokens,) or
            (tokens, values); those of one token may depend on its logits alone.
        hidden: (tokens, hidden) after the final norm.
        per_token: of any shape that begins with the number of tokens; no gradient flows to them.
        chunk: how many tokens at a time; by default so that their logits are `LOGITS` numbers.

    Returns:
        (tokens,) or (tokens, values), float32.
    """
    size = chunk or _chunk(model)
    parts = [slice(start, start + size) for start in range(0, len(hidden), size)] or [slice(0, 0)]

    def values_of(part: Tensor, *others: Tensor) -> Tensor:
        return loss(logits_of(model, part), *others)

    if not torch.is_grad_enabled() or not _needs_gradient(model, hidden):
        return torch.cat([values_of(hidden[p], *(x[p] for x in per_token)) for p in parts])
    if not any(p.requires_grad for p in model.get_output_embeddings().parameters()):
        return _FrozenHead.apply(hidden, values_of, parts, per_token)
    # A trained head: its gradient needs that of the loss, which isn't known yet, so logits are made a second time.
    again = {"use_reentrant": False, "preserve_rng_state": False}
    return torch.cat([checkpoint(values_of, hidden[p], *(x[p] for x in per_token), **again) for p in parts])


def _chunk(model: PreTrainedModel) -> int:
    return max(1, LOGITS // model.get_output_embeddings().out_features)


def _needs_gradient(model: PreTrainedModel, hidden: Tensor) -> bool:
    return hidden.requires_grad or any(p.requires_grad for p in model.get_output_embeddings().parameters())


class _FrozenHead(torch.autograd.Function):
    """Makes the gradient of each token's values in the forward pass, while its logits exist.

    A token's hidden state matters to its own values only, so whatever a value's gradient turns out to be, it is a
    factor to what is kept: (tokens, values, hidden), and logits need not be made again.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, values_of: Loss, parts: list[slice], per_token: tuple[Tensor, ...]) -> Tensor:
        values, slopes = [], []
        for p in parts:
            with torch.enable_grad():
                part = hidden[p].detach().requires_grad_()
                found = values_of(part, *(x[p] for x in per_token))
                sums = found.reshape(len(found), -1 if len(found) else 1).sum(0).unbind()
                # The last one lets go of what was kept for it, before the next chunk is made.
                kept = [True] * (len(sums) - 1) + [False]
                each = [torch.autograd.grad(s, part, retain_graph=k)[0] for s, k in zip(sums, kept, strict=True)]
            slopes.append(torch.stack(each, dim=1))
            values.append(found.detach())
        ctx.slopes = torch.cat(slopes)
        return torch.cat(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        tokens, values, _ = ctx.slopes.shape
        total = (ctx.slopes * gradient.reshape(tokens, values, 1)).sum(1)
        return total.to(ctx.slopes.dtype), None, None, None
