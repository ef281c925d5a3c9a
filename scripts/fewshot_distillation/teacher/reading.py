"""Reading sequences with the frozen model, many in one pass, for hidden states at spans of their tokens."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from ..config.targets import Span
from ..data.sequences import Sequence
from ..modeling.hidden_states import Capture, decoder_of
from ..modeling.packed import Prefix, Selection, forward_passes, pack, packed_hidden
from ..modeling.packed_attention import use_packed_attention


class Reader:
    """Hidden states of sequences at spans, before the final norm.

    Sequences are packed into passes of a budget of tokens. What many of them share at their beginning, as with fixed
    demonstrations, is read once.

    Args:
        model: frozen.
        sequences: all that will be read.
        spans: where.
        layers: which layers' outputs; None for all.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        sequences: list[Sequence],
        spans: tuple[Span, ...],
        layers: list[int] | None = None,
    ) -> None:
        self.sequences, self.spans = sequences, spans
        self.padded = not use_packed_attention(model)
        self.decoder, self.device = decoder_of(model), model.device
        self.capture = Capture(self.decoder, layers)
        with torch.inference_mode():
            # No further than any compared position: a question that is itself the last of the fixed demonstrations
            # ends within what the other prompts share.
            begun = [sequence.ids[: self._first(sequence) + 1] for sequence in sequences]
            self.prefix = Prefix.read(self.decoder, begun)

    def _first(self, sequence: Sequence) -> int:
        return min(sequence.span(span).start for span in self.spans)

    @torch.inference_mode()
    def read(self, rows: list[int]) -> dict[Span, Tensor]:
        """Compute hidden states (tokens, layers, hidden) of each span, of the sequences one after another as given."""
        found: dict[int, dict[Span, Tensor]] = {}
        ids = [self.sequences[row].ids for row in rows]
        for batch, prefix in forward_passes(ids, self.prefix, self.device, self.padded):
            found |= self._pass([rows[place] for place in batch], prefix)
        return {span: torch.cat([found[row][span] for row in rows]) for span in self.spans}

    def _pass(self, rows: list[int], prefix: Prefix | None) -> dict[int, dict[Span, Tensor]]:
        sequences = [self.sequences[row] for row in rows]
        packed = pack([sequence.ids for sequence in sequences], prefix)
        places = [packed.starts[n] + j for n, s in enumerate(sequences) for span in self.spans for j in s.span(span)]
        if prefix and min(map(self._first, sequences)) < len(prefix.ids):
            raise ValueError("the shared beginning of the prompts reaches beyond a compared position")
        packed = packed.to(self.device)
        chosen = Selection(torch.tensor(places), packed.tokens).to(self.device)
        with self.capture.of(packed, chosen) as layers:
            packed_hidden(self.decoder, packed)
        states = iter(torch.stack(layers, dim=1).split([len(s.span(span)) for s in sequences for span in self.spans]))
        return {row: {span: next(states) for span in self.spans} for row in rows}
