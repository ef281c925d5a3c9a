"""Packed batches against the plain model that reads one unpadded sequence at a time, for each family."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from families import WINDOW, make_family
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling import packed_attention
from fewshot_distillation.modeling.hidden_states import Capture, decoder_of
from fewshot_distillation.modeling.packed import Prefix, Selection, _shared_keys, micro_batches, pack, packed_hidden
from fewshot_distillation.modeling.packed_attention import is_packed, use_packed_attention
from tiny import make_model, random_prompts

PACKS = {"qwen3": True, "llama": True, "gemma3": True, "mistral": True, "gemma2": False}
SEQUENCES = random_prompts(5, 400, 3, 3 * WINDOW) + [[7]]


@pytest.fixture(scope="module", params=PACKS)
def family(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return request.param, make_model(folder) if request.param == "qwen3" else make_family(request.param, folder)


def plain(family: tuple[str, Path]) -> PreTrainedModel:
    """As its authors wrote it."""
    return AutoModelForCausalLM.from_pretrained(family[1], dtype=torch.float32, attn_implementation="eager")


def packing(family: tuple[str, Path], **settings) -> PreTrainedModel:
    attention = "eager" if family[0] == "gemma2" else None  # as `load_model` asks for it
    model = AutoModelForCausalLM.from_pretrained(family[1], dtype=torch.float32, attn_implementation=attention)
    assert use_packed_attention(model) == PACKS[family[0]]
    return model


def alone(model: PreTrainedModel, ids: list[int]) -> list[Tensor]:
    """Each layer's output before the final norm, and the last one after it, (length, hidden) each."""
    found: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _m, _i, output: found.append(output[0]))
        for layer in decoder_of(model).layers
    ]
    last = decoder_of(model)(input_ids=torch.tensor([ids]), use_cache=False).last_hidden_state[0]
    for hook in hooks:
        hook.remove()
    return [*found, last]


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * max(1.0, expected.abs().max().item()))


def test_hidden_states(family):
    packed, model = pack(SEQUENCES), packing(family)
    hidden = packed_hidden(decoder_of(model), packed)
    expected = [alone(plain(family), ids)[-1] for ids in SEQUENCES]
    assert hidden.shape == (sum(map(len, SEQUENCES)), 32)
    close(hidden, torch.cat(expected))
    for i, ids in enumerate(SEQUENCES):
        assert packed.input_ids[0, packed.starts[i] + len(ids) - 1] == ids[-1]


def chosen_places() -> list[tuple[int, int]]:
    """Several tokens of most sequences, none of one of them, not in the order of the tokens."""
    return [(0, 2), (4, 1), (0, 0), (2, len(SEQUENCES[2]) - 1), (1, 1), (5, 0)]


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "checkpointed"])
def test_gradients(family, checkpointing: bool):
    """Of a loss over hidden states after the norm, and before it at several places of each layer."""
    reference, weights = plain(family), torch.randn(32, generator=torch.Generator().manual_seed(0))
    outputs = [alone(reference, ids) for ids in SEQUENCES]
    picked = [torch.stack([outputs[i][layer][j] for i, j in chosen_places()]) for layer in range(len(outputs[0]) - 1)]
    expected = sum((weights * part[-1]).sum() for part in outputs) + sum(part.square().mean() for part in picked)
    expected.backward()

    model, packed = packing(family), pack(SEQUENCES)
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    decoder = decoder_of(model)
    chosen = Selection(torch.tensor([packed.starts[i] + j for i, j in chosen_places()]), packed.tokens)
    with Capture(decoder).of(packed, chosen) as layers:
        hidden = packed_hidden(decoder, packed)
    assert len(layers) == len(picked)
    for found, wanted in zip(layers, picked, strict=True):
        close(found, wanted)
    loss = (hidden * weights).sum() + sum(part.square().mean() for part in layers)
    loss.backward()
    close(loss, expected)
    found, wanted = gradients(model), gradients(reference)
    assert found.keys() == wanted.keys() and len(found) > 20
    for name in wanted:
        close(found[name], wanted[name])


@torch.inference_mode()
@pytest.mark.parametrize("known", [3, 2 * WINDOW + 3], ids=["shorter than the window", "longer"])
def test_sequences_behind_a_prefix(family, known: int):
    beginning = random_prompts(1, 400, known, known, seed=1)[0]
    prompts = [beginning + ids for ids in random_prompts(4, 400, 2, known, seed=2)] + [beginning + [5]]
    model, reference = packing(family), plain(family)
    prefix = Prefix.read(decoder_of(model), prompts)
    assert prefix.ids == beginning and prefix.begins(prompts[0]) and not prefix.begins(SEQUENCES[0])
    before = [(k.clone(), v.clone()) for k, v in prefix.layers]
    packed = pack(prompts, prefix)
    assert packed.tokens == sum(map(len, prompts)) - known * len(prompts)
    places = [packed.starts[i] + len(ids) - 1 for i, ids in enumerate(prompts)]
    with Capture(decoder_of(model), [1]).of(packed, Selection(torch.tensor(places), packed.tokens)) as layers:
        hidden = packed_hidden(decoder_of(model), packed)
    expected = [alone(reference, ids) for ids in prompts]
    close(hidden, torch.cat([outputs[-1][known:] for outputs in expected]))
    close(layers[0], torch.stack([outputs[1][-1] for outputs in expected]))
    assert all(torch.equal(a, b) for x, y in zip(before, prefix.layers, strict=True) for a, b in zip(x, y, strict=True))


def varlen_reference(query, key, value, cu_q, cu_k, max_q, max_k, *, scale, window_size, enable_gqa) -> Tensor:
    """What PyTorch's documentation says of `varlen_attn`, one query at a time."""
    assert enable_gqa and window_size[1] == 0
    output, group = torch.zeros_like(query), query.shape[1] // key.shape[1]
    for q0, q1, k0, k1 in zip(cu_q[:-1], cu_q[1:], cu_k[:-1], cu_k[1:], strict=True):
        assert q1 - q0 <= max_q and k1 - k0 <= max_k
        for i in range(q0, q1):
            last = k1 - (q1 - i)  # the last query goes with the last key
            first = k0 if window_size[0] < 0 else max(k0, last - window_size[0])
            keys, values = (x[first : last + 1].repeat_interleave(group, 1) for x in (key, value))
            scores = torch.einsum("hd,khd->hk", query[i], keys) * scale
            output[i] = torch.einsum("hk,khd->hd", scores.softmax(-1), values)
    return output


@torch.inference_mode()
def test_what_a_gpu_is_asked_for(family, monkeypatch):
    """The variable-length call, with and without a prefix; its kernel is replaced by what its documentation says."""
    if not PACKS[family[0]]:
        return  # it takes the padded way, which is no other on a GPU
    monkeypatch.setattr(packed_attention, "_flash", lambda *_: True)
    monkeypatch.setattr(packed_attention, "varlen_attn", varlen_reference)
    test_hidden_states(family)
    test_sequences_behind_a_prefix(family, 2 * WINDOW + 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 16])
@pytest.mark.parametrize("known", [0, 40])
def test_flash_attention_against_one_sequence_at_a_time(window: int | None, known: int):
    torch.manual_seed(0)
    packed = pack(random_prompts(6, 400, 1, 90)).to(torch.device("cuda"))
    shapes = [(1, 8, packed.tokens, 64), (1, 2, packed.tokens, 64), (1, 2, packed.tokens, 64)]
    parts = [torch.randn(s, device="cuda", dtype=torch.bfloat16, requires_grad=True) for s in shapes]
    module, shared = nn.Module(), None
    module.layer_idx = 0
    if known:
        layer = [torch.randn(1, 2, known, 64, device="cuda", dtype=torch.bfloat16) for _ in range(2)]
        prefix = Prefix([1] * known, [tuple(layer)])
        shared = _shared_keys(replace(packed, prefix=prefix))
    results = []
    for flash in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(packed_attention, "_flash", lambda *_, flash=flash: flash)
            output, _ = packed_attention.packed_attention(
                module, *parts, None, scaling=0.125, sliding_window=window, cu_seq_lens_q=packed.cu_seq_lens,
                max_length_q=packed.max_length, shared_keys=shared,
            )  # fmt: skip
        results.append([output, *torch.autograd.grad(output.float().square().sum(), parts)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_under_autocast(family):
    model = packing(family)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = packed_hidden(decoder_of(model), pack(SEQUENCES))
    expected = torch.cat([alone(plain(family), ids)[-1] for ids in SEQUENCES])
    assert (hidden.float() - expected).norm() < 0.05 * expected.norm()


def test_sequences_do_not_see_each_other(family):
    model = packing(family)
    first = packed_hidden(decoder_of(model), pack([SEQUENCES[0], SEQUENCES[1]]))
    other = packed_hidden(decoder_of(model), pack([SEQUENCES[0], SEQUENCES[2]]))
    size = len(SEQUENCES[0])
    torch.testing.assert_close(first[:size], other[:size], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(first[size : size + 3], other[size : size + 3], rtol=1e-2)


def test_what_is_saved_says_nothing_of_packing(family, tmp_path: Path):
    packing(family).save_pretrained(tmp_path)
    assert "packed" not in (tmp_path / "config.json").read_text()


class TestModelsThatAreLeftAsTheyWere:
    """Each reason for padding is found before anything is computed wrongly."""

    def refuse(self, model: PreTrainedModel, reason: str, caplog) -> None:
        before = model.config._attn_implementation
        with caplog.at_level("INFO", logger="fewshot_distillation"):
            assert not use_packed_attention(model)
        assert f"padded, not packed: {type(model).__name__} needs {reason}" in caplog.text
        assert model.config._attn_implementation == before and not is_packed(decoder_of(model))

    def test_dropout_of_scores(self, model, caplog):
        model.config.attention_dropout = 0.1
        self.refuse(model, "dropout of attention scores", caplog)

    def test_layers_of_another_kind(self, model, caplog):
        model.config.layer_types = ["full_attention", "chunked_attention"]
        self.refuse(model, "layers of type chunked_attention", caplog)

    def test_windows_that_are_only_in_the_mask(self, model, caplog):
        model.config.sliding_window = 8
        model.config.layer_types = ["sliding_attention", "full_attention"]
        decoder_of(model).has_sliding_layers = True
        self.refuse(model, "windows that it doesn't hand down", caplog)

    def test_another_sum(self, model, caplog):
        """What isn't known by name is seen in the result: here positions that count on across sequences."""

        def counting_on(_module, inputs):
            return inputs[0], torch.arange(inputs[1].shape[1]).unsqueeze(0) ** 2

        decoder_of(model).rotary_emb.register_forward_pre_hook(counting_on)
        self.refuse(model, "something that is unsupported here", caplog)


def test_what_a_model_asks_for_and_nobody_knows_to_do(model):
    for name in ("softcap", "s_aux", "position_bias"):
        with pytest.raises(packed_attention.Unsupported):
            packed_attention.packed_attention(nn.Module(), *[torch.ones(1, 1, 1, 1)] * 3, None, **{name: 1.0})
    assert use_packed_attention(model)
    with pytest.raises(packed_attention.Unsupported):
        model(torch.tensor([[1, 2]]))  # not a packed batch


def test_a_selection():
    values = torch.randn(6, 3, requires_grad=True)
    index = torch.tensor([4, 0, 3])
    picked = Selection(index, 6).of(values)
    assert torch.equal(picked, values[index])
    picked.square().sum().backward()
    (expected,) = torch.autograd.grad(values[index].square().sum(), values)
    assert torch.equal(values.grad, expected)


def test_what_cannot_be_packed():
    for sequences in ([], [[1], []]):
        with pytest.raises(ValueError, match="none that is empty"):
            pack(sequences)
    with pytest.raises(ValueError, match="does not begin with the prefix"):
        pack([[1, 2, 3], [1, 3, 3]], Prefix([1, 2], []))


class TestMicroBatches:
    LENGTHS = [5, 9, 2, 7, 7, 1, 3, 8, 6, 4]

    @pytest.mark.parametrize("budget", [9, 10, 13, 20, 52, 1000])
    @pytest.mark.parametrize("padded", [False, True])
    @pytest.mark.parametrize("processes", [1, 2, 3])
    def test_budget_and_order(self, budget: int, padded: bool, processes: int):
        batches = micro_batches(self.LENGTHS, budget, processes, padded)
        flat = [i for batch in batches for i in batch]
        assert flat == sorted(range(10), key=lambda i: (-self.LENGTHS[i], i))
        for batch in batches:
            longest, total = self.LENGTHS[batch[0]], sum(self.LENGTHS[i] for i in batch)
            assert (longest * len(batch) if padded else total) <= budget
        assert len(batches) % processes == 0 or len(batches) == 10

    def test_as_few_as_hold_them_and_equally_large(self):
        assert len(micro_batches(self.LENGTHS, 52)) == 1 and len(micro_batches(self.LENGTHS, 51)) == 2
        sizes = [sum(self.LENGTHS[i] for i in batch) for batch in micro_batches(self.LENGTHS, 50)]
        assert sizes == [24, 28]
        assert [len(batch) for batch in micro_batches([4] * 6, 20, processes=2)] == [3, 3]

    def test_a_sequence_longer_than_the_budget(self):
        with pytest.raises(JobError, match="a sequence of 9 tokens is longer than training.micro_batch_tokens 8"):
            micro_batches(self.LENGTHS, 8)

    def test_none(self):
        assert micro_batches([], 8) == []
