"""The student's losses against Hugging Face's own, and its batches."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.hidden_states import decoder_of
from fewshot_distillation.modeling.load import load_model
from fewshot_distillation.modeling.packed_attention import use_packed_attention
from fewshot_distillation.student.batches import collate
from fewshot_distillation.student.examples import Example, build_streams, examples_of_step
from fewshot_distillation.student.model import Student, add_lora
from tiny import study, train_spec

PAD = 0


class Given:
    """A cache of which every example's values are given."""

    def __init__(self, values: torch.Tensor | dict[str, torch.Tensor]) -> None:
        self.values = values

    def of(self, examples: list[int], sequences: list) -> torch.Tensor | dict[str, torch.Tensor]:
        if isinstance(self.values, dict):
            return {name: value[examples] for name, value in self.values.items()}
        return self.values[examples]


def streams_of(builder, rows: list[dict], limit: int = 512) -> list[Example]:
    spec = train_spec("layerwise", training__default__max_tokens=limit)
    return build_streams(spec, rows, builder).streams[0]


@pytest.fixture
def examples(builder, splits) -> list[Example]:
    return streams_of(builder, read_jsonl(splits[0])[:4])


@pytest.fixture
def sequences(examples) -> list:
    return [example.sequence for example in examples]


def plain(student: Student, examples: list[Example]) -> dict[str, torch.Tensor]:
    return with_targets(student, examples)


def with_targets(student: Student, examples: list[Example], *values) -> dict[str, torch.Tensor]:
    """Sums of packed sequences, which can be differentiated; what they are compared with reads padded ones."""
    base, targets = student.base[0], student.learning.targets if values else []
    assert use_packed_attention(base)
    names = ["ce", *(f"target_{number}" for number in range(len(targets)))]
    try:
        batch = collate(examples, targets, [Given(value) for value in values])
        losses, sums = student(batch, [{name: 1.0} for name in names])
        return sums | dict(zip(names, losses.unbind(), strict=True))
    finally:
        base.set_attn_implementation("sdpa")


@pytest.fixture
def peft_model(model):
    """With an adapter that does something: a fresh one multiplies by zero."""
    adapted = add_lora(model, train_spec(training__default__lora__dropout=0).lora, seed=1)
    torch.manual_seed(2)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return adapted


def labelled(sequences: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and labels as Hugging Face wants them: -100 on prompt and padding."""
    length = max(len(s.ids) for s in sequences)
    ids = torch.tensor([s.ids + [PAD] * (length - len(s.ids)) for s in sequences])
    mask = torch.tensor([[1] * len(s.ids) + [0] * (length - len(s.ids)) for s in sequences])
    labels = [[-100] * len(s.prompt.ids) + s.answer + [-100] * (length - len(s.ids)) for s in sequences]
    return ids, mask, torch.tensor(labels)


def test_sequences_are_of_different_lengths(sequences):
    """Or padding would not be tested below."""
    assert len({len(s.ids) for s in sequences}) >= 3 and len({len(s.prompt.ids) for s in sequences}) > 1


def test_cross_entropy_and_its_gradient_against_labels(peft_model, examples, sequences):
    student = Student(peft_model, train_spec().learning)
    ids, mask, labels = labelled(sequences)
    tokens = sum(len(s.answer) for s in sequences)
    ours = plain(student, examples)["ce"] / tokens
    theirs = peft_model(input_ids=ids, attention_mask=mask, labels=labels).loss
    torch.testing.assert_close(ours, theirs)
    trained = [p for p in peft_model.parameters() if p.requires_grad]
    for a, b in zip(torch.autograd.grad(ours, trained), torch.autograd.grad(theirs, trained), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_an_untrained_adapter_changes_nothing_and_another_one_does(model, examples, sequences):
    ids, mask, labels = labelled(sequences)
    before = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    student = Student(
        add_lora(model, train_spec(training__default__lora__dropout=0).lora, seed=1), train_spec().learning
    )
    tokens = sum(len(s.answer) for s in sequences)
    torch.testing.assert_close(plain(student, examples)["ce"] / tokens, before)
    for name, parameter in student.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    assert abs(plain(student, examples)["ce"] / tokens - before) > 0.01


@pytest.mark.parametrize("condition", ["sft", "layerwise", "logit_kl"])
def test_neighbours_in_a_batch_change_nothing(peft_model, examples, condition: str):
    student = Student(peft_model, train_spec(condition).learning)
    top = {"values": torch.randn(4, 16), "indices": torch.randint(400, (4, 16)), "logsumexp": torch.ones(4)} | {
        "rest": torch.zeros(4)
    }
    values = {"sft": [], "layerwise": [torch.randn(4, 2, 32)], "logit_kl": [top]}[condition]
    together = with_targets(student, examples, *values)
    alone = [with_targets(student, [example], *values) for example in examples]
    for name, value in together.items():
        torch.testing.assert_close(value, sum(sums[name] for sums in alone), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_student_states_are_those_of_the_adapted_model(peft_model, examples, sequences):
    """Cosine and distance against hidden states of the whole PEFT model, layer by layer."""
    spec = train_spec("layerwise")
    student, teacher = Student(peft_model, spec.learning), torch.randn(4, 2, 32)
    sums = with_targets(student, examples, teacher)
    ids, mask, _ = labelled(sequences)
    # The first decoder layer's output is hidden_states[1]; the last one is only given after the final norm.
    raw = []
    hook = decoder_of(peft_model.get_base_model()).layers[1].register_forward_hook(lambda m, i, o: raw.append(o))
    first = peft_model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states[1]
    hook.remove()
    last = raw[0][0] if isinstance(raw[0], tuple) else raw[0]
    places = [s.prompt.question_end for s in sequences]
    states = torch.stack([torch.stack([layer[n, p] for layer in (first, last)]) for n, p in enumerate(places)])
    cosine = F.cosine_similarity(states, teacher, dim=-1).sum(0)
    torch.testing.assert_close(sums["cosine_0"], cosine, rtol=1e-4, atol=1e-4)
    distance = (F.normalize(states, dim=-1) - F.normalize(teacher, dim=-1)).square().sum()
    torch.testing.assert_close(sums["target_0"], distance, rtol=1e-4, atol=1e-4)


def test_chosen_layers_only(peft_model, examples):
    spec = train_spec("layerwise", conditions__layerwise__layers=[1])
    sums = with_targets(Student(peft_model, spec.learning), examples, torch.randn(4, 1, 32))
    assert sums["cosine_0"].shape == (1,)


def test_only_the_adapter_is_trained(peft_model):
    names = [name for name, p in peft_model.named_parameters() if p.requires_grad]
    assert names and all("lora_" in name for name in names)
    assert all(p.dtype == torch.float32 for p in peft_model.parameters() if p.requires_grad)


def test_the_seed_decides_the_fresh_adapter(model_folder: Path):
    def fresh(seed: int) -> torch.Tensor:
        adapted = add_lora(load_model(model_folder, "fp32"), train_spec().lora, seed)
        return torch.cat([p.flatten() for p in adapted.parameters() if p.requires_grad])

    torch.manual_seed(123)
    first = fresh(1)
    torch.manual_seed(456)
    assert torch.equal(first, fresh(1)) and not torch.equal(first, fresh(2))


def test_unknown_target_modules(model):
    lora = study(training__default__lora__target_modules=["q_proj", "q_prj"]).config.training["default"].lora
    with pytest.raises(JobError, match="no linear module 'q_prj'; it has .*'q_proj'"):
        add_lora(model, lora, 0)


def test_too_long_answers_are_cut_and_marked(builder, splits):
    rows = read_jsonl(splits[0])[:4]
    whole = [example.sequence for example in streams_of(builder, rows)]
    limit = max(len(s.ids) for s in whole) - 1
    cut = [example.sequence for example in streams_of(builder, rows, limit)]
    assert [s.cut for s in cut] == [len(s.ids) > limit for s in whole] and 0 < sum(s.cut for s in cut) < 4
    assert all(s.ids == w.ids[:limit] for s, w in zip(cut, whole, strict=True))


def test_a_question_without_room_for_an_answer(builder, splits):
    with pytest.raises(JobError, match="training example 0: the question alone has .* within training.max_tokens 16"):
        streams_of(builder, read_jsonl(splits[0]), 16)


@pytest.mark.parametrize(("count", "size"), [(12, 4), (10, 4), (3, 8)])
def test_epochs_are_permutations(count: int, size: int):
    """Every example comes once in each epoch, also where steps and epochs don't end together."""
    steps = [examples_of_step(step, size, count, seed=5) for step in range(count)]
    flat = [i for step in steps for i in step]
    epochs = [flat[start : start + count] for start in range(0, len(flat), count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_a_step_s_examples_depend_on_seed_and_step_alone():
    forwards = [examples_of_step(step, 4, 10, seed=1) for step in range(6)]
    examples_of_step(0, 4, 10, seed=2)
    assert forwards[::-1] == [examples_of_step(step, 4, 10, seed=1) for step in reversed(range(6))]
    assert forwards != [examples_of_step(step, 4, 10, seed=2) for step in range(6)]
