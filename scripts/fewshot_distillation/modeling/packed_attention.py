"""Attention over packed batches: sequences one after another in a row, none of which attends to another.

Registered with transformers' `AttentionInterface`. No mask function belongs to it: transformers then makes no mask, and
doesn't look through the position ids for where sequences begin.
"""

import logging
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, PreTrainedModel

log = logging.getLogger("fewshot_distillation")

PACKED = "packed"
# What a model may ask of attention that is not done here.
_MORE = ("softcap", "s_aux", "position_bias")
_FLASH_FEATURES = 256  # a head, at most


class Unsupported(NotImplementedError):
    """A model's attention needs more than is done here."""


@dataclass(frozen=True)
class SharedKeys:
    """Keys and values of a beginning that all sequences of a packed batch share.

    `layers`: of each layer (1, key heads, beginning, features). On a GPU each sequence gets them next to its own:
    `index` (keys,) picks them from the beginning's keys followed by the batch's, `cu_seq_lens` (sequences + 1,) int32
    holds where each sequence begins, `max_length` is the length of the longest.
    """

    layers: list[tuple[Tensor, Tensor]]
    index: Tensor
    cu_seq_lens: Tensor
    max_length: int


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    shared_keys: SharedKeys | None = None,
    **others,
) -> tuple[Tensor, None]:
    """Compute causal scaled dot-product attention within each sequence, over at most `sliding_window` keys.

    Args:
        query: (1, heads, tokens, features); `key`, `value`: (1, key heads, tokens, features).
        cu_seq_lens_q: (sequences + 1,) int32, where each sequence begins, and the number of tokens.
        max_length_q: length of the longest.

    Returns:
        (1, tokens, heads, features).

    Raises:
        Unsupported: the model asks for more, or doesn't hand down where sequences begin.
    """
    for name in _MORE:
        if others.get(name) is not None:
            raise Unsupported(f"attention with `{name}`")
    if cu_seq_lens_q is None or dropout or not getattr(module, "is_causal", True):
        raise Unsupported("dropout of attention scores, attention in both directions, or no packed batch")
    # Norms with float32 weights return float32 under autocast; attention computes in autocast's type.
    if torch.is_autocast_enabled(query.device.type):
        dtype = torch.get_autocast_dtype(query.device.type)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    layer = None if shared_keys is None else shared_keys.layers[module.layer_idx]
    if not _flash(query, value):
        return _one_by_one(query, key, value, cu_seq_lens_q, scaling, sliding_window, layer), None
    cu_seq_lens_k, max_length_k = cu_seq_lens_q, max_length_q
    query, key, value = (_by_token(x) for x in (query, key, value))
    if layer is not None:
        # By token, because whole rows are gathered faster than pieces of every head.
        key, value = (
            torch.cat([_by_token(first), own]).index_select(0, shared_keys.index)
            for first, own in zip(layer, (key, value), strict=True)
        )
        cu_seq_lens_k, max_length_k = shared_keys.cu_seq_lens, shared_keys.max_length
    lengths = cu_seq_lens_q, cu_seq_lens_k, max_length_q, max_length_k
    output = varlen_attn(
        query,
        key,
        value,
        *lengths,
        scale=scaling,
        # To the left without the token itself. Of fewer queries than keys, the last query goes with the last key.
        window_size=(-1 if sliding_window is None else sliding_window - 1, 0),
        enable_gqa=True,
    )
    return output.unsqueeze(0), None


def _by_token(x: Tensor) -> Tensor:
    """Bring (1, heads, tokens, features) to (tokens, heads, features), as variable-length attention reads them."""
    return x[0].transpose(0, 1).contiguous()


def _flash(query: Tensor, value: Tensor) -> bool:
    """Whether PyTorch's variable-length attention, which is flash attention, does this."""
    return (
        query.is_cuda
        and query.dtype in (torch.float16, torch.bfloat16)
        and query.shape[-1] == value.shape[-1] <= _FLASH_FEATURES
        and query.shape[-1] % 8 == 0
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


@torch.compiler.disable
def _one_by_one(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_lens: Tensor, scaling: float | None, window: int | None,
    shared: tuple[Tensor, Tensor] | None,
) -> Tensor:  # fmt: skip
    """One call a sequence; (1, tokens, heads, features)."""
    starts = cu_seq_lens.tolist()
    before = 0 if shared is None else shared[0].shape[2]
    longest = max(end - start for start, end in zip(starts, starts[1:], strict=False))
    mask = None
    if before or (window is not None and window < longest):
        ago = torch.arange(before, before + longest, device=query.device).unsqueeze(1) - torch.arange(
            before + longest, device=query.device
        )
        mask = (ago >= 0) & (ago < (before + longest if window is None else window))
    grouped = query.shape[1] != key.shape[1]
    outputs = []
    for start, end in zip(starts, starts[1:], strict=False):
        q, k, v = (x[:, :, start:end] for x in (query, key, value))
        if shared is not None:
            k, v = torch.cat([shared[0], k], dim=2), torch.cat([shared[1], v], dim=2)
        needed = mask is not None and (before or window < end - start)
        output = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask[: end - start, : before + end - start] if needed else None,
            is_causal=not needed,
            scale=scaling,
            enable_gqa=grouped,
        )
        outputs.append(output.transpose(1, 2))
    return torch.cat(outputs, dim=1)


AttentionInterface.register(PACKED, packed_attention)


def is_packed(decoder: nn.Module) -> bool:
    """Return whether a stack of layers reads packed batches as one row."""
    return decoder.config._attn_implementation == PACKED


def use_packed_attention(model: PreTrainedModel) -> bool:
    """Let a model read packed batches as one row, if its attention can; the log gives the reason if not.

    It is tried on a few tokens, so that an unknown model is either read as it should be, or left as it was. Called
    before adapters are added and before weights are sharded over processes.
    """
    before, training = model.config._attn_implementation, model.training
    try:
        _check_settings(model)
        model.eval()
        _try_out(model)
        return True
    except Unsupported as error:
        if is_packed(model):
            model.set_attn_implementation(before)
        log.info("batches are padded, not packed: %s needs %s", type(model).__name__, error)
        return False
    finally:
        model.train(training)


def _check_settings(model: PreTrainedModel) -> None:
    config = model.config.get_text_config()
    if getattr(config, "attn_logit_softcapping", None) is not None:
        raise Unsupported("a cap on attention scores")
    if getattr(config, "attention_dropout", 0.0):
        raise Unsupported("dropout of attention scores")
    strange = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if strange:
        raise Unsupported(f"layers of type {sorted(strange)[0]}")


@torch.inference_mode()
def _try_out(model: PreTrainedModel) -> None:
    """Compare two short sequences in one row with one at a time, as the model reads them so far."""
    decoder, config = model.get_decoder(), model.config.get_text_config()
    where = model.get_input_embeddings().weight.device
    sequences = [torch.arange(1, 6, device=where), torch.arange(2, 5, device=where)]
    expected = [decoder(input_ids=ids.unsqueeze(0), use_cache=False).last_hidden_state[0] for ids in sequences]
    model.set_attn_implementation(PACKED)
    if not is_packed(decoder):
        raise Unsupported("its own attention")
    windows: list[int | None] = []

    def watched(*arguments, **settings):
        windows.append(settings.get("sliding_window"))
        return packed_attention(*arguments, **settings)

    AttentionInterface.register(PACKED, watched)
    try:
        found = decoder(
            input_ids=torch.cat(sequences).unsqueeze(0),
            position_ids=torch.cat([torch.arange(len(ids), device=where) for ids in sequences]).unsqueeze(0),
            use_cache=False,
            cu_seq_lens_q=torch.tensor([0, 5, 8], dtype=torch.int32, device=where),
            max_length_q=5,
        ).last_hidden_state[0]
    finally:
        AttentionInterface.register(PACKED, packed_attention)
    window, types = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    types = types or ["sliding_attention"] * len(decoder.layers)
    if windows != [window if kind == "sliding_attention" else None for kind in types]:
        raise Unsupported("windows that it doesn't hand down")
    scale = max(1.0, found.float().abs().max().item())
    if not torch.allclose(found.float(), torch.cat(expected).float(), rtol=0.02, atol=0.02 * scale):
        raise Unsupported("something that is unsupported here")
