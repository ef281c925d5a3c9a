"""Generation with transformers, adapters merged: by its own `generate` on a GPU, by a loop of ours on a CPU."""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer

from ...config.conditions import Sampling
from ...modeling.attention import GROUPED, use_grouped_decoding
from ...modeling.hidden_states import decoder_of, logits_of
from ...modeling.load import device, load_model
from ...modeling.packed import Prefix, forward_passes, pack, packed_hidden
from ...modeling.packed_attention import PACKED, use_packed_attention
from .base import Generation, Setting
from .sampling import Sampler, likeliest

BY_PEFT = True


def available() -> str | None:
    return None


def preference() -> int:
    return 1


def create(setting: Setting) -> "TransformersBackend":
    return TransformersBackend(setting.model_folder, setting.precision, sampling=setting.sampling)


class TransformersBackend:
    """Greedy decoding of a batch on this process's device.

    On a GPU a step takes the same time for few sequences as for many, and what costs is the number of passes: there it
    is `generate` over a batch padded on the left, five times as fast as the loop here (4,857 tokens/s against 956 for
    128 prompts of Qwen3-1.7B on an H200; transformers' continuous batching, `generate_batch`: 1,079).

    On a CPU time goes with tokens. `generate` computes for sequences that have ended until the last one has; word
    problems end after very different lengths, so in the loop they leave the batch and the cache, and prompts are read
    packed, without padding and without what they share at their beginning. `generate_batch` does the same, but gave a
    quarter of the loop's tokens per second (37 against 144 for 48 prompts on two cores). A model that can't read packed
    batches takes `generate` on a CPU too.

    Args:
        padded: `generate` over padded batches or not; None for what is the faster one on this device.
    """

    name = engine = "transformers"
    batch_tokens = None  # memory is bounded by evaluation.batch_tokens

    def __init__(
        self, model_folder: Path, precision: str, padded: bool | None = None, sampling: Sampling | None = None
    ) -> None:
        self.model_folder, self.precision, self.sampling = model_folder, precision, sampling
        self.padded = device().type != "cpu" if padded is None else padded
        self.model = None
        self.attention = ""  # of decoding, where prompts are read packed

    def use(self, checkpoint: Path | None) -> None:
        # Loaded afresh each time: taking a merged adapter out again doesn't give back the same weights in bfloat16.
        self.model = None
        if checkpoint is None:
            self.model = load_model(self.model_folder, self.precision)
        else:
            from ...modeling.adapters import load_checkpoint  # with PEFT, which takes seconds to import

            self.model = load_checkpoint(self.model_folder, checkpoint, self.precision)
        # What a model's authors sample with (temperature, penalties) would apply where nothing is set.
        self.model.generation_config = GenerationConfig()
        if not self.padded:
            use_grouped_decoding(self.model)
            attention = self.model.config._attn_implementation
            self.attention = attention if use_packed_attention(self.model) else ""

    def close(self) -> None:
        self.model = None

    @torch.inference_mode()
    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        self.sampler = Sampler(self.sampling, prompts, self.model.device) if self.sampling else None
        return (self._decode if self.attention else self._generate)(prompts, max_new_tokens, stop_ids)

    def _generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        """Transformers' `generate`, which derives position ids from the mask of what is padding."""
        width, filler = max(map(len, prompts)), stop_ids[0]
        padding = [width - len(prompt) for prompt in prompts]
        ids = [[filler] * pad + prompt for pad, prompt in zip(padding, prompts, strict=True)]
        mask = [[0] * pad + [1] * (width - pad) for pad in padding]
        # The likeliest token of noisy logits is one that is drawn.
        everyone = list(range(len(prompts)))
        greedy = GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, eos_token_id=stop_ids, pad_token_id=filler
        )
        output = self.model.generate(
            torch.tensor(ids, device=self.model.device),
            attention_mask=torch.tensor(mask, device=self.model.device),
            generation_config=greedy,
            logits_processor=[lambda _, logits: self.sampler.noisy(logits, everyone)] if self.sampler else None,
        )
        return [_until(row, stop_ids) for row in output[:, width:].tolist()]

    def _decode(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        """A loop that drops finished sequences from the batch."""
        device = self.model.device
        tokens, cache, mask, shared = self._read(prompts)
        stop = torch.tensor(stop_ids, device=device)
        places = torch.tensor([[len(p)] for p in prompts], device=device)
        active = torch.arange(len(prompts), device=device)
        written: list[list[int]] = [[] for _ in prompts]
        reasons = ["length"] * len(prompts)
        for count in range(1, max_new_tokens + 1):
            ended = torch.isin(tokens, stop)
            for row, token, end in zip(active.tolist(), tokens.tolist(), ended.tolist(), strict=True):
                if end:
                    reasons[row] = "stop"
                else:
                    written[row].append(token)
            going = torch.nonzero(~ended).squeeze(1)
            if len(going) == 0 or count == max_new_tokens:
                break
            if len(going) < len(tokens):
                cache.batch_select_indices(going)
                active, tokens, mask, places = active[going], tokens[going], mask[going], places[going]
            mask = F.pad(mask, (0, 1), value=1)
            where = {"attention_mask": mask, "position_ids": places, **shared}
            tokens = self._pick(self._next(tokens.unsqueeze(1), cache, **where), active.tolist())
            places = places + 1
        return [Generation(w, r) for w, r in zip(written, reasons, strict=True)]

    def _next(self, ids: Tensor, cache: DynamicCache, **where: Any) -> Tensor:
        """Logits of each sequence's next token, (batch, vocabulary)."""
        hidden = decoder_of(self.model)(input_ids=ids, past_key_values=cache, use_cache=True, **where).last_hidden_state
        # A matrix for the head: given the strided tensor that `logits_to_keep=1` leaves it, it copies itself for every
        # sequence, which takes half the time of a prefill on the CPU.
        return logits_of(self.model, hidden[:, -1])

    def _pick(self, logits: Tensor, rows: list[int]) -> Tensor:
        """A next token for each of these prompts, (len(rows),)."""
        return (self.sampler or likeliest)(logits, rows)

    def _read(self, prompts: list[list[int]]) -> tuple[Tensor, DynamicCache, Tensor, dict[str, Any]]:
        """Read prompts: the first new token of each, keys and values side by side, and the mask of what is padding.

        What all prompts share at their beginning isn't among these: the fourth part hands it to attention.
        """
        self.model.set_attn_implementation(PACKED)
        decoder, where = decoder_of(self.model), self.model.device
        prefix = Prefix.read(decoder, prompts)
        apart = prefix is not None and self.keeps_apart and all(map(prefix.begins, prompts))
        lengths = [len(prompt) - (len(prefix.ids) if apart else 0) for prompt in prompts]
        first, width = torch.empty(len(prompts), dtype=torch.long, device=where), max(lengths)
        layers: list[tuple[Tensor, Tensor]] = []
        for batch, begun in forward_passes(prompts, prefix, where):
            packed, cache = pack([prompts[row] for row in batch], begun).to(where), DynamicCache()
            hidden = packed_hidden(decoder, packed, cache)
            first[batch] = self._pick(logits_of(self.model, hidden[packed.cu_seq_lens[1:].long() - 1]), batch)
            ends = packed.cu_seq_lens.tolist()
            layers = layers or [_room(layer, len(prompts), width) for layer in cache.layers]
            for number, layer in enumerate(cache.layers):
                shared = begun.layers[number] if begun and not apart else (None, None)
                for room, own, before in zip(layers[number], (layer.keys, layer.values), shared, strict=True):
                    for row, start, end in zip(batch, ends, ends[1:], strict=False):
                        room[row, :, width - (end - start) :] = own[0, :, start:end]
                        if before is not None:
                            room[row, :, width - lengths[row] : width - (end - start)] = before[0]
        self.model.set_attn_implementation(self.attention)
        mask = torch.tensor([[0] * (width - n) + [1] * n for n in lengths], device=where)
        return first, DynamicCache(layers), mask, {"shared_prefix": prefix.layers} if apart else {}

    @property
    def keeps_apart(self) -> bool:
        """Whether attention takes a shared beginning by itself: not where it looks back over a window only."""
        config = self.model.config.get_text_config()
        kinds = getattr(config, "layer_types", None) or ()
        windows = "sliding_attention" in kinds if kinds else getattr(config, "sliding_window", None) is not None
        return self.attention == GROUPED and not windows


def _room(layer: DynamicLayer, prompts: int, width: int) -> tuple[Tensor, Tensor]:
    """Zeros for the keys and values of so many prompts, (prompts, key heads, width, features) each."""
    return tuple(x.new_zeros(prompts, x.shape[1], width, x.shape[3]) for x in (layer.keys, layer.values))


def _until(ids: list[int], stop_ids: list[int]) -> Generation:
    """Tokens before the first that ends an answer; behind it there is filling."""
    end = next((place for place, token in enumerate(ids) if token in stop_ids), None)
    return Generation(ids, "length") if end is None else Generation(ids[:end], "stop")
