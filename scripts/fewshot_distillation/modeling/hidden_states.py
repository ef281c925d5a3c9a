"""Hidden states of layers at chosen tokens, before the final norm, and logits from them."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from .packed import Packed, Selection
from .packed_attention import is_packed


class Capture:
    """Collects the output of chosen decoder layers at chosen tokens during a forward pass.

    A layer's output is taken *before* the final norm (`output_hidden_states=True` returns the last one after it), so
    that logits can be computed from it as `lm_head(norm(h))`.
    """

    def __init__(self, decoder: nn.Module, layers: list[int] | None = None) -> None:
        self.decoder = decoder
        self.blocks = [decoder.layers[i] for i in (range(len(decoder.layers)) if layers is None else layers)]

    @contextlib.contextmanager
    def of(self, packed: Packed, chosen: Selection) -> Iterator[list[Tensor]]:
        """Append, within the block, one (chosen, hidden) tensor a layer to the list, at every `packed_hidden`.

        Args:
            chosen: tokens of the packed batch.
        """
        found: list[Tensor] = []
        if not is_packed(self.decoder):
            chosen = Selection(packed.padded_places()[chosen.index], (len(packed.cu_seq_lens) - 1) * packed.max_length)

        def hook(_module: nn.Module, _inputs: tuple, output: Tensor | tuple) -> None:
            # Gradient checkpointing runs a layer again in the backward pass; what it captured first is what counts.
            if len(found) < len(self.blocks):
                hidden = output[0] if isinstance(output, tuple) else output
                found.append(chosen.of(hidden.flatten(0, 1)))

        handles = [block.register_forward_hook(hook) for block in self.blocks]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()


def decoder_of(model: PreTrainedModel) -> nn.Module:
    """Return the stack of layers below the language-model head."""
    return model.get_decoder()


def logit_cap(model: PreTrainedModel) -> float | None:
    """Return c of a model whose logits are c·tanh(logits / c)."""
    return getattr(model.config.get_text_config(), "final_logit_softcapping", None)


def logits_of(model: PreTrainedModel, normed: Tensor) -> Tensor:
    """Compute next-token logits, float32, from hidden states after the final norm; (…, hidden) to (…, vocabulary)."""
    head = model.get_output_embeddings()
    logits = head(normed.to(head.weight.dtype)).float()
    cap = logit_cap(model)
    return logits if cap is None else cap * torch.tanh(logits / cap)


def logits_from_layer_output(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Compute `lm_head(norm(h))` for outputs h of the last layer."""
    norm = decoder_of(model).norm
    return logits_of(model, norm(hidden.to(norm.weight.dtype)))
