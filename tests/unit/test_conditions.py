"""What conditions learn from: answers whoever wrote them, several targets, windows of steps, labelled examples."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from fewshot_distillation.config.specs import TrainSpec
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.rows import read_jsonl
from fewshot_distillation.data.selection import labelled_rows
from fewshot_distillation.errors import JobError
from fewshot_distillation.student.examples import Streams, build_streams
from fewshot_distillation.student.gradients import term_gradients
from fewshot_distillation.teacher import activations
from fewshot_distillation.teacher.activations import teacher_sequences
from tiny import study, train_spec
from training import Setup, adapter_of, interrupted

LOGITS = {"target": "logits", "teacher": "fewshot", "span": "answer", "top_k": 400, "temperature": 1.0}
EXTRA = {
    "labelled": 4,
    "conditions__answers": {"label": "E", **LOGITS},
    "conditions__several": {
        "label": "F",
        "targets": [
            {**LOGITS, "divergence": "squared_error", "top_k": 8, "lambda": 0.5},
            {"target": "hidden_states", "teacher": "fewshot", "span": "answer", "layers": [1], "lambda": 2.0},
            {"target": "hidden_states", "teacher": "fewshot"},
        ],
    },
    "conditions__questions": {
        "label": "G",
        "target": "hidden_states",
        "teacher": "fewshot",
        "examples": "unlabelled",
        "cross_entropy": 0.0,
    },
    "conditions__mixed": {
        "label": "H",
        "target": "hidden_states",
        "teacher": "fewshot",
        "examples": "unlabelled",
        "sft_examples": "labelled",
    },
    "conditions__few": {"label": "I", "examples": "labelled"},
    "conditions__window": {"label": "J", "target": "hidden_states", "teacher": "fewshot", "lambda_steps": [2, 3]},
    "conditions__smooth": {"label": "K", "label_smoothing": 0.1},
    "conditions__hard": {"label": "L", "answers": "fewshot", "examples": "unlabelled"},
    "conditions__kept": {"label": "M", "answers": "fewshot", "keep": "correct"},
    "studies__all": {
        "models": ["tiny"],
        "conditions": ["answers", "several", "questions", "mixed", "few", "window", "smooth", "hard", "kept"],
        "schedules": ["short"],
    },
}
NO_DROPOUT = {"training__default__lora__dropout": 0.0}


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("setup"), model_folder, splits[0], **EXTRA)


def spec_of(condition: str, **changes) -> TrainSpec:
    return train_spec(condition, "1", **EXTRA | changes)


def streams(condition: str, builder, splits, **files) -> Streams:
    return build_streams(spec_of(condition), read_jsonl(splits[0]), builder, **files)


def test_fewer_examples_than_are_asked_for(builder, splits):
    """Where only the job knows how many there are, as of a dataset that is fetched or of answers that are kept."""
    spec = spec_of("few").model_copy(update={"train_examples": 8})
    with pytest.raises(JobError, match=r"expected 8 training examples \(train_examples\), got 4 to draw them from"):
        build_streams(spec, read_jsonl(splits[0]), builder)
    assert len(build_streams(spec.model_copy(update={"train_examples": 4}), read_jsonl(splits[0]), builder).all) == 4


@pytest.mark.parametrize("condition", ["answers", "several", "questions", "mixed", "few", "window", "smooth"])
def test_every_kind_trains_whatever_the_micro_batches(setup: Setup, condition: str):
    rows = []
    for size in (192, 1024):
        changes = NO_DROPOUT | {"training__default__micro_batch_tokens": size}
        trainer = setup.trainer(condition, **changes)
        start = adapter_of(trainer).clone()
        rows.append([trainer.step(step) for step in range(1, 4)])
        assert (adapter_of(trainer) - start).abs().max() > 0.001
    for ours, theirs in zip(*rows, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5, nan_ok=True)


def test_divergence_at_answer_tokens_against_two_whole_models(setup: Setup, model, builder, splits):
    """A fresh adapter changes nothing, so the first step's loss is KL(8-shot ‖ 0-shot) by full forward passes."""
    trainer = setup.trainer("answers", **NO_DROPOUT)
    chosen = [e.index for e in trainer.plan(1).examples]
    found = trainer.step(1)["distillation"]
    train = read_jsonl(splits[0])
    few = teacher_sequences(study(**EXTRA).precompute_activations("tiny", "fewshot", "reference"), builder, train)
    values = []
    for i in chosen:
        prompt, answer = builder.build(train[i]["question"]).ids, builder.answer_ids(train[i]["answer"])
        assert few[i].answer == answer
        teacher, student = (
            model(torch.tensor([ids + answer])).logits[0, len(ids) - 1 : -1].detach().double().log_softmax(-1)
            for ids in (few[i].prompt.ids, prompt)
        )
        assert len(teacher) == len(answer)
        values.append((teacher.exp() * (teacher - student)).sum(-1))
    assert found == pytest.approx(torch.cat(values).mean().item(), rel=1e-3)


def test_label_smoothing_is_pytorch_s(setup: Setup, model, builder, splits):
    trainer = setup.trainer("smooth", **NO_DROPOUT)
    chosen = [e.sequence for e in trainer.plan(1).examples]
    found, losses = trainer.step(1)["ce"], []
    for sequence in chosen:
        with torch.no_grad():
            logits = model(torch.tensor([sequence.ids])).logits[0, len(sequence.prompt.ids) - 1 : -1]
        losses.append(F.cross_entropy(logits, torch.tensor(sequence.answer), reduction="none", label_smoothing=0.1))
    assert found == pytest.approx(torch.cat(losses).mean().item(), rel=1e-4)


def test_a_window_of_steps(setup: Setup):
    """Outside of it a run learns as plain fine-tuning does, to the last bit."""
    window, plain = setup.trainer("window"), setup.trainer("sft")
    window.step(1), plain.step(1)
    assert torch.equal(adapter_of(window), adapter_of(plain))
    window.step(2), plain.step(2)
    assert not torch.equal(adapter_of(window), adapter_of(plain))


@pytest.mark.parametrize("condition", ["layerwise", "answers"])
def test_lambda_zero_with_a_teacher_equals_fine_tuning_to_the_bit(setup: Setup, condition: str):
    plain, zero = setup.trainer("sft"), setup.trainer(condition)
    zero.spec = zero.spec.model_copy(update={"lam": 0.0})
    for step in range(1, 4):
        assert plain.step(step)["grad_norm"] == zero.step(step)["grad_norm"]
    assert torch.equal(adapter_of(plain), adapter_of(zero))


@pytest.mark.parametrize("condition", ["answers", "several", "mixed", "window", "smooth"])
def test_a_run_that_is_interrupted_ends_with_the_same_bytes(setup: Setup, tmp_path: Path, condition: str):
    """With dropout; a condition without cross-entropy has no value of it."""
    expected, rows = interrupted(setup, tmp_path, condition, 2, 4)
    for one, other in zip(rows, expected, strict=True):
        assert one == pytest.approx(other, rel=0, abs=0, nan_ok=True)


def test_an_interrupted_cache_of_answers_has_the_same_bytes(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    """Ragged hidden states, with a named layer, and the logits from them: only missing shards are made again."""
    monkeypatch.setattr(activations, "SHARD_ROWS", 5)
    before = {}
    for attempt in ("first", "second"):
        made = Setup(tmp_path / "caches", model_folder, splits[0], **EXTRA)
        paths = [made.cache("fewshot", "reference", kind)[0] for kind in ("hidden_states", "logits")]
        if attempt == "second":
            assert {path: path.read_bytes() for path in paths} == before
            continue
        before = {path: path.read_bytes() for path in paths}
        shards = sorted((tmp_path / "caches").rglob("shard-*"))
        assert len(shards) >= 4
        for path in (*paths, *shards[::2]):
            path.unlink()


def test_which_examples_have_which_terms(builder, splits):
    train, labelled = read_jsonl(splits[0]), labelled_rows(12, 4)
    (few,) = streams("few", builder, splits).streams
    assert [e.index for e in few] == labelled and all(e.cross_entropy and not e.targets for e in few)
    questions, supervised = streams("mixed", builder, splits).streams
    assert [e.index for e in questions] == [i for i in range(12) if i not in labelled]
    assert [e.index for e in supervised] == labelled
    assert all(e.targets and not e.cross_entropy for e in questions)
    # Nothing of an unlabelled question's answer is read.
    assert all(e.sequence.answer == [] for e in questions)
    assert [e.sequence.answer for e in supervised] == [builder.answer_ids(train[i]["answer"]) for i in labelled]


def test_both_streams_fill_a_batch(setup: Setup):
    examples = setup.trainer("mixed").plan(1).examples
    assert sum(e.targets for e in examples) == sum(e.cross_entropy for e in examples) == 4


@pytest.fixture
def written(tmp_path: Path, splits) -> Path:
    """A teacher's answers: every second one was cut at the length limit."""
    rows = read_jsonl(splits[0])
    table = pd.DataFrame(
        {
            "question_index": range(12),
            "question": [row["question"] for row in rows],
            "token_ids": [[50 + i, 60 + i] for i in range(12)],
            "finish_reason": ["stop", "length"] * 6,
        }
    )
    table.to_parquet(tmp_path / "predictions.parquet")
    return tmp_path / "predictions.parquet"


def test_a_teacher_s_own_answers(builder: PromptBuilder, splits, written: Path):
    (stream,) = streams("hard", builder, splits, written=written).streams
    for example in stream:
        end = [builder.end_of_turn] if example.index % 2 == 0 else []
        assert example.sequence.answer == [50 + example.index, 60 + example.index, *end]
    assert {e.index for e in stream} == set(range(12)) - set(labelled_rows(12, 4))


def test_only_right_answers_are_kept(builder, splits, written: Path, tmp_path: Path):
    judged = tmp_path / "judged.parquet"
    pd.DataFrame({"question_index": range(12), "correct": [i in (2, 5) for i in range(12)]}).to_parquet(judged)
    found = streams("kept", builder, splits, written=written, judged=judged)
    assert [e.index for e in found.all] == [2, 5] and found.dropped == 10
    pd.DataFrame({"question_index": range(12), "correct": [False] * 12}).to_parquet(judged)
    with pytest.raises(JobError, match="condition 'kept': there is no training example left to learn from"):
        streams("kept", builder, splits, written=written, judged=judged)


@pytest.mark.parametrize("seed", [0, 2**31 - 1])
def test_any_seed_trains(setup: Setup, seed: int):
    trainer = setup.trainer("sft")
    trainer.spec = trainer.spec.model_copy(update={"seed": seed})
    assert trainer.step(1)["loss"] > 0


@pytest.mark.parametrize("size", [192, 1024])
def test_gradients_of_both_losses_add_up_to_the_step_s(setup: Setup, monkeypatch, size: int):
    """Measured on the side: they change nothing, and their sum is what the optimizer gets."""
    trainer = setup.trainer("layerwise", training__default__micro_batch_tokens=size)
    before = adapter_of(trainer).clone()
    trainer.step(1)  # B of a fresh adapter is zero, and so is A's gradient
    found = term_gradients(trainer, 2)
    norm = trainer.step(2)["grad_norm"]
    a, b, cosine = (found[f"grad_{name}"] for name in ("norm_ce", "norm_distillation", "cosine"))
    assert norm == pytest.approx((a * a + b * b + 2 * a * b * cosine) ** 0.5, rel=1e-4) and b > 0
    assert not torch.equal(adapter_of(trainer), before)
    undisturbed = setup.trainer("layerwise", training__default__micro_batch_tokens=size)
    undisturbed.step(1), undisturbed.step(2)
    assert torch.equal(adapter_of(undisturbed), adapter_of(trainer))
    assert term_gradients(setup.trainer("sft"), 1) == {}
