"""Attention for decoding on a CPU, where PyTorch's is slow for one query over grouped keys."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

GROUPED = "grouped_decode"


def grouped_decode(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **settings
) -> tuple[Tensor, None]:
    """Scaled dot-product attention; a single query a head attends to the keys of its group without copying them.

    Query heads that share keys are laid out as if they were consecutive queries of one head, which is the same sum.
    Keys repeated for every query head took six times as long (32 sequences, 700 keys, 9 query heads over 3, 2 cores).

    Args:
        query: (batch, query heads, queries, features); `key`, `value`: (batch, key heads, keys, features).
    """
    batch, heads, queries, features = query.shape
    if queries > 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    grouped = query.reshape(batch, key.shape[1], heads // key.shape[1], features)
    output = F.scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=settings["scaling"])
    return output.reshape(batch, heads, 1, -1).transpose(1, 2).contiguous(), None


AttentionInterface.register(GROUPED, grouped_decode)
AttentionMaskInterface.register(GROUPED, sdpa_mask)


def use_grouped_decoding(model: nn.Module) -> None:
    """On a CPU, decode with `grouped_decode`; elsewhere PyTorch's kernels are better, and others do more than it."""
    if model.device == torch.device("cpu") and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(GROUPED)
