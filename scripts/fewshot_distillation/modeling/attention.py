"""Attention for decoding on a CPU, where PyTorch's is slow for one query over grouped keys."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "grouped_decode"


def grouped_decode(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    shared_prefix: list[tuple[Tensor, Tensor]] | None = None, **settings
) -> tuple[Tensor, None]:  # fmt: skip
    """Attend to the keys of each query's group without copying them, for a single query a head; else as PyTorch does.

    Query heads that share keys are laid out as if they were consecutive queries of one head, which is the same sum.
    Keys repeated for every query head took six times as long (32 sequences, 700 keys, 9 query heads over 3, 2 cores).

    Args:
        query: (batch, query heads, queries, features); `key`, `value`: (batch, key heads, keys, features).
        shared_prefix: keys and values of each layer, (1, key heads, beginning, features), that come before all others
            and are the same for the whole batch; for a single query a head.
    """
    batch, heads, queries, features = query.shape
    if queries > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    grouped = query.reshape(batch, key.shape[1], heads // key.shape[1], features)
    if shared_prefix is None:
        output = F.scaled_dot_product_attention(
            grouped, key, value, attn_mask=attention_mask, scale=settings["scaling"]
        )
    else:
        before = shared_prefix[module.layer_idx]
        output = _behind_prefix(grouped * settings["scaling"], before, key, value, attention_mask)
    return output.reshape(batch, heads, 1, -1).transpose(1, 2).contiguous(), None


def _behind_prefix(
    query: Tensor, prefix: tuple[Tensor, Tensor], key: Tensor, value: Tensor, mask: Tensor | None
) -> Tensor:
    """Attention of scaled queries (batch, key heads, group, features) to a shared beginning and to their own keys.

    The beginning is one matrix for all sequences. A copy for each would be read, and written when the next token's keys
    are joined to it, for every token: with eight demonstrations that took most of a step's time.
    """
    batch, heads, group, features = query.shape
    first, values = (x[0] for x in prefix)  # (key heads, beginning, features)
    rows = query.transpose(0, 1).reshape(heads, batch * group, features)
    before = (rows @ first.transpose(1, 2)).view(heads, batch, group, -1).transpose(0, 1)
    own = query @ key.transpose(2, 3)
    if mask is not None:
        own = own.masked_fill(~mask, -torch.inf)
    weights = torch.cat([before, own], dim=-1).float().softmax(-1).to(query.dtype)
    before, own = weights.split([first.shape[1], key.shape[2]], dim=-1)
    found = before.transpose(0, 1).reshape(heads, batch * group, -1) @ values
    return found.view(heads, batch, group, features).transpose(0, 1) + own @ value


AttentionInterface.register(GROUPED, grouped_decode)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


def use_grouped_decoding(model: nn.Module) -> None:
    """Decode with `grouped_decode` on a CPU; elsewhere PyTorch's kernels are better, and others do more than it."""
    if model.device == torch.device("cpu") and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)
