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
    model: PreTrainedModel, loss: Loss, hidden: Tensor, *per_token: Tensor, weights: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Apply `loss` to the next-token logits of each token, and add up what it returns with weights.

    Weights come first, and not in the backward pass, because every sum that is differentiated costs as much as the
    logits themselves.

    Args:
        loss: from float32 logits (tokens, vocabulary) and a part of `per_token`, (tokens, values); those of one token
            may depend on its logits alone.
        hidden: (tokens, hidden) after the final norm.
        per_token: of any shape that begins with the number of tokens; no gradient flows to them.
        weights: (sums, values), float32.
        chunk: how many tokens at a time; by default so that their logits are `LOGITS` numbers.

    Returns:
        Weighted sums (tokens, sums), and the values (tokens, values) without a gradient; float32.
    """
    size = chunk or _chunk(model)
    parts = [slice(start, start + size) for start in range(0, len(hidden), size)] or [slice(0, 0)]

    def sums_of(part: Tensor, *others: Tensor) -> tuple[Tensor, Tensor]:
        values = loss(logits_of(model, part), *others)
        # Not a matrix product, which autocast would round.
        return (values.unsqueeze(1) * weights).sum(2), values.detach()

    if torch.is_grad_enabled() and _needs_gradient(model, hidden):
        if not any(p.requires_grad for p in model.get_output_embeddings().parameters()):
            return _FrozenHead.apply(hidden, sums_of, parts, per_token)
        # A trained head: its gradient needs that of the loss, which isn't known yet, so logits are made a second time.
        again = {"use_reentrant": False, "preserve_rng_state": False}
        found = [checkpoint(sums_of, hidden[p], *(x[p] for x in per_token), **again) for p in parts]
    else:
        found = [sums_of(hidden[p], *(x[p] for x in per_token)) for p in parts]
    sums, values = zip(*found, strict=True)
    return torch.cat(sums), torch.cat(values)


def _chunk(model: PreTrainedModel) -> int:
    return max(1, LOGITS // model.get_output_embeddings().out_features)


def _needs_gradient(model: PreTrainedModel, hidden: Tensor) -> bool:
    return hidden.requires_grad or any(p.requires_grad for p in model.get_output_embeddings().parameters())


class _FrozenHead(torch.autograd.Function):
    """Makes the gradient of each token's sums in the forward pass, while its logits exist.

    A token's hidden state matters to its own sums only, so whatever a sum's gradient turns out to be, it is a factor to
    what is kept: (tokens, sums, hidden), and logits need not be made again.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, sums_of: Callable, parts: list[slice], per_token: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        sums, values, slopes = [], [], []
        for p in parts:
            with torch.enable_grad():
                part = hidden[p].detach().requires_grad_()
                found, noted = sums_of(part, *(x[p] for x in per_token))
                totals = found.sum(0).unbind()
                # The last one lets go of what was kept for it, before the next chunk is made.
                kept = [True] * (len(totals) - 1) + [False]
                each = [torch.autograd.grad(t, part, retain_graph=k)[0] for t, k in zip(totals, kept, strict=True)]
            slopes.append(torch.stack(each, dim=1))
            sums.append(found.detach())
            values.append(noted)
        ctx.slopes, values = torch.cat(slopes), torch.cat(values)
        ctx.mark_non_differentiable(values)
        return torch.cat(sums), values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None, None, None]:
        total = (ctx.slopes * gradient.unsqueeze(2)).sum(1)
        return total.to(ctx.slopes.dtype), None, None, None
