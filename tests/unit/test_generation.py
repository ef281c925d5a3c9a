"""Greedy generation against transformers' own."""

import contextlib
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from fewshot_distillation.evaluation.backends.base import Generation
from fewshot_distillation.evaluation.backends.transformers_backend import TransformersBackend
from fewshot_distillation.modeling.attention import grouped_decode, use_grouped_decoding
from fewshot_distillation.modeling.load import load_model
from tiny import random_prompts
from training import strange_adapters

NEW = 12
DIFFERENT = random_prompts(8, 400, 3, 25)
BEGINNING = random_prompts(1, 400, 30, 30, seed=1)[0]
SHARED = [BEGINNING + ids for ids in random_prompts(6, 400, 2, 9, seed=2)] + random_prompts(2, 400, 40, 50, seed=3)


@torch.inference_mode()
def one_at_a_time(model, prompts: list[list[int]], stop: list[int], longest: int = NEW) -> list[Generation]:
    """What `generate` of transformers says about each prompt alone."""
    found = []
    for ids in prompts:
        given = torch.tensor([ids])
        output = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=longest,
            do_sample=False,
            eos_token_id=stop or None,
            pad_token_id=0,
        )[0, len(ids) :].tolist()
        ended = output[-1] in stop
        found.append(Generation(output[:-1] if ended else output, "stop" if ended else "length"))
    return found


def stops_of(model, prompts: list[list[int]]) -> list[int]:
    """Two tokens at which some of the prompts end early, at different times, and others don't."""
    model.generation_config.eos_token_id = None
    free = [g.ids for g in one_at_a_time(model, prompts, [])]
    return sorted({free[0][4], free[1][7]})


@pytest.fixture(scope="module", params=[False, True], ids=["loop", "padded"])
def backend(request, model_folder: Path) -> TransformersBackend:
    """Both ways of generating: the loop for CPUs and `generate` over padded batches for GPUs."""
    found = TransformersBackend(model_folder, "fp32", padded=request.param)
    found.use(None)
    return found


@pytest.mark.parametrize(
    "prompts", [DIFFERENT, SHARED, SHARED[:6], DIFFERENT[:1]],
    ids=["different", "shared beginning", "all behind one beginning", "one"],
)  # fmt: skip
def test_against_transformers(backend, model, prompts: list[list[int]]):
    stop = stops_of(model, DIFFERENT)
    expected = one_at_a_time(model, prompts, stop)
    assert backend.generate(prompts, NEW, stop) == expected


def test_prompts_of_the_test_above_end_at_different_times(model):
    expected = one_at_a_time(model, DIFFERENT, stops_of(model, DIFFERENT))
    assert len({len(g.ids) for g in expected}) >= 3 and {g.finish_reason for g in expected} == {"stop", "length"}


def test_limits_of_length(backend, model):
    stops_of(model, DIFFERENT)
    for longest in (1, 2, 5):
        found = backend.generate(DIFFERENT, longest, [399])
        assert found == one_at_a_time(model, DIFFERENT, [399], longest)
        assert all(len(g.ids) <= longest for g in found)


def test_a_stop_token_in_the_last_place_is_a_stop(backend, model):
    """An answer of just the permitted length isn't truncated."""
    free = backend.generate(DIFFERENT[:1], NEW, [399])[0].ids
    first = next(n for n in range(1, NEW) if free[n] not in free[:n])
    assert backend.generate(DIFFERENT[:1], first + 1, [free[first]]) == [Generation(free[:first], "stop")]
    assert backend.generate(DIFFERENT[:1], first, [free[first]]) == [Generation(free[:first], "length")]


def test_order_and_company_do_not_matter(backend, model):
    stop = stops_of(model, DIFFERENT)
    together = backend.generate(DIFFERENT, NEW, stop)
    assert backend.generate(DIFFERENT[::-1], NEW, stop) == together[::-1]
    assert [backend.generate([ids], NEW, stop)[0] for ids in DIFFERENT] == together


def test_the_way_is_that_of_the_device(model_folder: Path, monkeypatch):
    where = "fewshot_distillation.evaluation.backends.transformers_backend.device"
    for kind, padded in (("cpu", False), ("cuda", True)):
        monkeypatch.setattr(where, lambda kind=kind: torch.device(kind))
        assert TransformersBackend(model_folder, "fp32").padded is padded


@pytest.mark.parametrize("padded", [False, True])
def test_settings_of_the_model_s_authors_do_not_count(
    model_folder: Path, tmp_path: Path, backend, padded: bool, recwarn
):
    """Sampling, penalties, limits and ends in generation_config.json change no answer and cause no warning."""
    folder = shutil.copytree(model_folder, tmp_path / "model")
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.5, "repetition_penalty": 3.0, "max_length": 30}
    settings |= {"no_repeat_ngram_size": 1, "min_new_tokens": 9, "eos_token_id": [399], "num_beams": 2}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"].pop("generation_config.json", None)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    other = TransformersBackend(folder, "fp32", backend.padded)
    other.use(None)
    recwarn.clear()
    with _logged_by_transformers() as said:
        found = other.generate(DIFFERENT, NEW, [5])
    assert found == backend.generate(DIFFERENT, NEW, [5])
    assert not said.records and not [w for w in recwarn if "sampl" in str(w.message)]


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextlib.contextmanager
def _logged_by_transformers():
    """Warnings of transformers, which doesn't hand them on to pytest."""
    handler, logger = _Kept(), logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


@torch.inference_mode()
def test_grouped_attention(model_folder: Path):
    """Decoding of one token against a padded cache, the only place where it differs from PyTorch's."""
    plain, grouped = (load_model(model_folder, "fp32") for _ in range(2))
    use_grouped_decoding(grouped)
    assert grouped.config._attn_implementation != plain.config._attn_implementation
    ids, mask = torch.tensor(random_prompts(3, 400, 9, 9)), torch.ones(3, 10, dtype=torch.long)
    mask[1, :4] = 0
    outputs = []
    for model in (plain, grouped):
        cache = model(ids, attention_mask=mask[:, :9], use_cache=True).past_key_values
        outputs.append(model(ids[:, :1], attention_mask=mask, past_key_values=cache).logits)
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", [0, 4])
def test_attention_behind_a_shared_beginning(padding: int):
    """Against keys that are copied for each sequence and laid side by side."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 8, 1, 4), torch.randn(3, 2, 9, 4), torch.randn(3, 2, 9, 4)
    prefix = [(torch.randn(1, 2, 6, 4), torch.randn(1, 2, 6, 4))]
    mask = torch.ones(3, 1, 1, 9, dtype=torch.bool)
    mask[1, :, :, :padding] = False
    module = torch.nn.Module()
    module.layer_idx = 0
    given = mask if padding else None
    found, _ = grouped_decode(module, query, key, value, given, shared_prefix=prefix, scaling=0.3)
    keys, values = (torch.cat([x.expand(3, -1, -1, -1), y], 2) for x, y in zip(prefix[0], (key, value), strict=True))
    whole = torch.cat([torch.ones(3, 1, 1, 6, dtype=torch.bool), mask], -1)
    wanted, _ = grouped_decode(module, query, keys, values, whole, scaling=0.3)
    torch.testing.assert_close(found, wanted)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, model_folder: Path) -> Path:
    """Two checkpoints with adapters that change what is generated, and their manifest."""
    return strange_adapters(tmp_path_factory.mktemp("checkpoints"), model_folder, (3, 6), std=0.3)


def test_merged_adapter_against_the_unmerged_one(model_folder: Path, checkpoints: Path, backend, model):
    stop = stops_of(model, DIFFERENT)
    unmerged = PeftModel.from_pretrained(model, str(checkpoints / "checkpoint-3")).eval()
    unmerged.generation_config.eos_token_id = None
    expected = one_at_a_time(unmerged, DIFFERENT, stop)
    adapted = TransformersBackend(model_folder, "fp32")
    adapted.use(checkpoints / "checkpoint-3")
    assert adapted.generate(DIFFERENT, NEW, stop) == expected
    assert expected != backend.generate(DIFFERENT, NEW, stop)
    adapted.use(None)
    assert adapted.generate(DIFFERENT, NEW, stop) == backend.generate(DIFFERENT, NEW, stop)
