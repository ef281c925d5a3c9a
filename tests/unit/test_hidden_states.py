"""Captured hidden states, and logits from them, against what transformers itself returns."""

import pytest
import torch

from fewshot_distillation.config.targets import POSITIONS
from fewshot_distillation.data.prompts import Prompt
from fewshot_distillation.data.sequences import Sequence
from fewshot_distillation.modeling.hidden_states import Capture, decoder_of, logits_from_layer_output, logits_of
from fewshot_distillation.modeling.packed import Packed, Prefix, Selection, pack, packed_hidden
from fewshot_distillation.modeling.packed_attention import use_packed_attention
from fewshot_distillation.modeling.prefix import common_length, shared_prefix
from fewshot_distillation.teacher.reading import Reader
from tiny import random_prompts


def as_prompt(ids: list[int]) -> Prompt:
    return Prompt(ids=ids, question_end=len(ids) - 4, prompt_end=len(ids) - 1)


def plain(model, ids: list[int]) -> tuple[torch.Tensor, ...]:
    """Outputs of the embedding and of every layer; transformers gives the last one after the final norm."""
    return model(torch.tensor([ids]), output_hidden_states=True).hidden_states


def reader_of(model, prompts: list[list[int]]) -> Reader:
    return Reader(model, [Sequence(as_prompt(ids), []) for ids in prompts], POSITIONS)


def alone(model, ids: list[int]) -> dict[str, torch.Tensor]:
    """(layers, hidden) at each position, read by the teacher's reader; the model is as it was afterwards."""
    found = {name: states[0] for name, states in reader_of(model, [ids]).read([0]).items()}
    model.set_attn_implementation("sdpa")
    return found


def different() -> list[list[int]]:
    return random_prompts(5, 400, 12, 30)


def with_shared_beginning() -> list[list[int]]:
    """Four prompts with the same demonstrations, and one with others."""
    beginning = random_prompts(1, 400, 40, 40, seed=1)[0]
    return [beginning + ids for ids in random_prompts(4, 400, 6, 12)] + random_prompts(1, 400, 60, 60, seed=2)


@pytest.mark.parametrize("prompts", [different(), with_shared_beginning()], ids=["different", "shared"])
@torch.inference_mode()
def test_against_output_hidden_states(model, prompts: list[list[int]]):
    references = [plain(model, ids) for ids in prompts]
    reader, decoder, order = reader_of(model, prompts), decoder_of(model), list(range(len(prompts)))[::-1]
    assert (reader.prefix is not None) == (len(prompts[0]) > 40)
    found = reader.read(order)
    for row, n in enumerate(order):
        prompt, reference = as_prompt(prompts[n]), references[n]
        for name, place in (("question_end", prompt.question_end), ("prompt_end", prompt.prompt_end)):
            states = found[name][row]
            assert states.shape == (2, 32)
            torch.testing.assert_close(states[0], reference[1][0, place], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(decoder.norm(states[1]), reference[2][0, place], rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_answers_against_output_hidden_states(model):
    """Of every token from which an answer token is predicted, and of the layers that were asked for."""
    prompts, answers = different(), random_prompts(5, 400, 1, 7, seed=5)
    references = [plain(model, ids + answer) for ids, answer in zip(prompts, answers, strict=True)]
    sequences = [Sequence(as_prompt(ids), answer) for ids, answer in zip(prompts, answers, strict=True)]
    found = Reader(model, sequences, ("answer",), [0]).read(list(range(5)))["answer"]
    expected = [r[1][0, len(p) - 1 : len(p) - 1 + len(a)] for r, p, a in zip(references, prompts, answers, strict=True)]
    torch.testing.assert_close(found[:, 0], torch.cat(expected), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_the_last_layer_is_taken_before_the_final_norm(model):
    ids = different()[0]
    found = alone(model, ids)
    assert not torch.allclose(found["prompt_end"][1], plain(model, ids)[2][0, -1], rtol=1e-2)


@torch.inference_mode()
def test_logits_from_the_last_layer(model):
    ids = different()[0]
    found = alone(model, ids)
    expected = model(torch.tensor([ids])).logits[0, -1]
    torch.testing.assert_close(logits_from_layer_output(model, found["prompt_end"][1]), expected, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_logits_of_a_model_that_caps_them(model):
    hidden = torch.randn(3, 32)
    uncapped = logits_of(model, hidden)
    model.config.final_logit_softcapping = 2.0
    torch.testing.assert_close(logits_of(model, hidden), 2 * torch.tanh(uncapped / 2))


def choose(packed: Packed, *tokens: int) -> Selection:
    return Selection(torch.tensor(tokens), packed.tokens)


@pytest.mark.parametrize("in_one_row", [True, False], ids=["packed", "padded"])
@torch.inference_mode()
def test_capture_of_chosen_layers_and_positions(model, in_one_row: bool):
    """One (chosen, hidden) tensor a layer, in the order of the layers and tokens asked for."""
    ids = random_prompts(2, 400, 10, 10)
    decoder = decoder_of(model)
    everything = decoder(torch.tensor(ids), output_hidden_states=True).hidden_states
    if in_one_row:
        use_packed_attention(decoder)
    packed = pack(ids)
    with Capture(decoder, [0]).of(packed, choose(packed, 2, 5, 9, 10, 11, 13)) as layers:
        packed_hidden(decoder, packed)
    assert len(layers) == 1 and layers[0].shape == (6, 32)
    torch.testing.assert_close(layers[0][3:], everything[1][1, [0, 1, 3]])
    torch.testing.assert_close(layers[0][:3], everything[1][0, [2, 5, 9]])


@torch.inference_mode()
def test_what_was_captured_first_counts(model):
    """Gradient checkpointing runs layers a second time."""
    decoder, packed = decoder_of(model), pack([[5, 6]])
    with Capture(decoder).of(packed, choose(packed, 1)) as layers:
        packed_hidden(decoder, packed)
        first = [layer.clone() for layer in layers]
        packed_hidden(decoder, pack([[7, 8]]))
    assert len(layers) == 2 and all(torch.equal(a, b) for a, b in zip(layers, first, strict=True))


@torch.inference_mode()
def test_hooks_are_gone_after_the_block(model):
    decoder, packed = decoder_of(model), pack([[5, 6]])
    with pytest.raises(ZeroDivisionError), Capture(decoder).of(packed, choose(packed, 0)) as layers:
        raise ZeroDivisionError
    packed_hidden(decoder, packed)
    assert layers == [] and not any(layer._forward_hooks for layer in decoder.layers)


def test_common_length():
    assert common_length([1, 2, 3], [1, 2, 4]) == 2
    assert common_length([1, 2], [1, 2, 4]) == 2
    assert common_length([1], [2]) == 0


SHARING = {
    "fixed demonstrations": ([[1] * 20 + [n, n] for n in range(2, 6)], [1] * 20),
    "nothing in common": ([[n] * 20 for n in range(2, 6)], []),
    "too little in common": ([[1, 1] + [n] * 20 for n in range(2, 6)], []),
    "one prompt": ([[1] * 20], []),
    "the same prompt twice": ([[1] * 20, [1] * 20], [1] * 19),
    "most of them": ([[0] * 30] + [[1] * 20 + [n, n] for n in range(2, 9)], [1] * 20),
}


@pytest.mark.parametrize(("prompts", "prefix"), SHARING.values(), ids=SHARING)
def test_shared_prefix(prompts: list[list[int]], prefix: list[int]):
    assert shared_prefix(prompts) == prefix


@torch.inference_mode()
def test_the_shared_beginning_is_read_once_and_stays_as_it_is(model):
    """Reading one prompt may not leave its tokens in what the next one starts from."""
    reader = reader_of(model, with_shared_beginning())
    assert len(reader.prefix.ids) == 40
    first, again = (reader.read([0, 1, 2])["prompt_end"] for _ in range(2))
    assert torch.equal(first, again) and all(keys.shape[2] == 40 for keys, _ in reader.prefix.layers)


@torch.inference_mode()
def test_positions_that_others_share_with_a_prompt(model):
    """A question that is the last of the fixed demonstrations: all other prompts begin as its own ends."""
    prompts = with_shared_beginning()[:4]
    prompts.append(prompts[0][:40])
    references = [plain(model, ids)[1][0] for ids in prompts]
    reader = reader_of(model, prompts)
    assert len(reader.prefix.ids) == as_prompt(prompts[4]).question_end == 36
    found = reader.read([0, 4, 1, 2, 3])
    for name in POSITIONS:
        for row, n in enumerate([0, 4, 1, 2, 3]):
            expected = references[n][getattr(as_prompt(prompts[n]), name)]
            torch.testing.assert_close(found[name][row, 0], expected, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_position_within_the_shared_beginning_is_an_error(model):
    """Wherever its prompt is among those of a pass."""
    prompts = with_shared_beginning()[:4]
    early = Prompt(ids=prompts[0], question_end=10, prompt_end=len(prompts[0]) - 1)
    reader = Reader(model, [Sequence(early, []), *(Sequence(as_prompt(ids), []) for ids in prompts[1:])], POSITIONS)
    reader.prefix = Prefix.read(decoder_of(model), prompts)
    for rows in ([0], [1, 0], [0, 1]):
        with pytest.raises(ValueError, match="reaches beyond a compared position"):
            reader.read(rows)
