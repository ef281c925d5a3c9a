"""Generation with transformers: adapters merged, finished sequences dropped from the batch."""

from pathlib import Path

import torch
from transformers import DynamicCache

from ...modeling.adapters import merge_adapter
from ...modeling.hidden_states import decoder_of, logits_of
from ...modeling.load import load_model
from .base import Generation


class TransformersBackend:
    """Greedy decoding of a batch on this process's device.

    `generate` of transformers goes on computing for sequences that have ended until the last one has; word problems
    end after very different lengths, so here they leave the batch and the cache.
    """

    def __init__(self, model_folder: Path, precision: str) -> None:
        self.model_folder, self.precision = model_folder, precision
        self.model = None

    def use(self, adapter: Path | None) -> None:
        # Loaded afresh each time: taking a merged adapter out again doesn't give back the same weights in bfloat16.
        self.model = None
        model = load_model(self.model_folder, self.precision)
        self.model = model if adapter is None else merge_adapter(model, adapter)

    @torch.inference_mode()
    def generate(self, prompts: list[list[int]], max_new_tokens: int, stop_ids: list[int]) -> list[Generation]:
        model, where = self.model, self.model.device
        decoder = decoder_of(model)
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + p for p in prompts], device=where)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=where)
        places = (mask.cumsum(1) - 1).clamp_min(0)
        cache = DynamicCache(config=model.config)
        stop = torch.tensor(stop_ids, device=where)
        written: list[list[int]] = [[] for _ in prompts]
        reasons = ["length"] * len(prompts)
        active = torch.arange(len(prompts), device=where)
        for _ in range(max_new_tokens):
            hidden = decoder(
                input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
            ).last_hidden_state
            # A (batch, hidden) matrix: with `logits_to_keep=1` the head gets a strided tensor and copies itself for
            # every sequence, which takes half the time of a prefill on the CPU.
            tokens = logits_of(model, hidden[:, -1]).argmax(-1)
            ended = torch.isin(tokens, stop)
            for row, token, end in zip(active.tolist(), tokens.tolist(), ended.tolist(), strict=True):
                if end:
                    reasons[row] = "stop"
                else:
                    written[row].append(token)
            going = torch.nonzero(~ended).squeeze(1)
            if len(going) == 0:
                break
            if len(going) < len(tokens):
                cache.batch_select_indices(going)
                active, tokens, mask, places = active[going], tokens[going], mask[going], places[going]
            ids = tokens.unsqueeze(1)
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
            places = places[:, -1:] + 1
        return [Generation(w, r) for w, r in zip(written, reasons, strict=True)]
