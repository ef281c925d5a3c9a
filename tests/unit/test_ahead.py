"""Reading ahead: a step gets what it would have read itself, and each micro batch is read once."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch

from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.packed import Selection
from fewshot_distillation.student import ahead
from fewshot_distillation.student.batches import Batch, collate
from fewshot_distillation.student.gradients import term_gradients
from fewshot_distillation.student.trainer import Trainer
from training import Setup, adapter_of

# Two or more micro batches a step, and a measurement of gradients between steps.
SMALL = {"training__default__micro_batch_tokens": 192}


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("setup"), model_folder, splits[0])


def values_of(thing) -> list:
    """Everything in a batch, one after another."""
    if isinstance(thing, dict):
        return [value for key in thing for value in (key, *values_of(thing[key]))]
    if isinstance(thing, list | tuple):
        return [value for one in thing for value in values_of(one)]
    if hasattr(thing, "__dataclass_fields__"):
        return [value for field in fields(thing) for value in values_of(getattr(thing, field.name))]
    if isinstance(thing, Selection):
        return [thing.index, thing.tokens, thing.inverse]
    return [thing]


def same(ours: Batch, theirs: Batch) -> bool:
    pairs = zip(values_of(ours), values_of(theirs), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)


@pytest.mark.parametrize("condition", ["sft", "layerwise", "logit_kl"])
def test_each_micro_batch_is_read_once_and_is_the_one_read_directly(setup: Setup, condition: str, monkeypatch):
    read, used = [], []

    def noted(examples: list, *others) -> Batch:
        read.append([example.index for example in examples])
        return collate(examples, *others)

    monkeypatch.setattr(ahead, "collate", noted)
    trainer = setup.trainer(condition, **SMALL)
    batch = trainer.ahead.batch

    def checked(plan, number: int, *others) -> Batch:
        found = batch(plan, number, *others)
        directly = collate(plan.micro_batches[number], trainer.spec.learning.targets, trainer.caches)
        assert same(found, directly)
        used.append([example.index for example in plan.micro_batches[number]])
        return found

    monkeypatch.setattr(trainer.ahead, "batch", checked)
    for step in range(1, 7):
        term_gradients(trainer, step) if step == 4 else None
        trainer.step(step)
    assert read == used and len(used) > 10, "and nothing behind the last of six steps"
    assert trainer.ahead.waiting is None


def test_a_step_out_of_turn_reads_for_itself(setup: Setup):
    """As after layers were compiled with the first batch, or where a run continues."""
    one, other = (setup.trainer("logit_kl", **SMALL) for _ in range(2))
    plan = one.plan(3)
    one.ahead.batch(plan, plan.mine[0], one.plan)
    rows = [[trainer.step(step) for step in (1, 2)] for trainer in (one, other)]
    assert rows[0] == rows[1] and torch.equal(adapter_of(one), adapter_of(other))


def test_an_error_is_raised_by_the_step_that_needs_what_was_read(setup: Setup, monkeypatch):
    trainer: Trainer = setup.trainer("layerwise")
    of, bad = trainer.caches[0].of, {example.index for example in trainer.plan(2).examples}

    def failing(examples: list[int], sequences: list) -> torch.Tensor:
        if bad & {*examples}:
            raise JobError("the cache can't be read")
        return of(examples, sequences)

    monkeypatch.setattr(trainer.caches[0], "of", failing)
    assert not bad & {example.index for example in trainer.plan(1).examples}
    assert trainer.step(1)["step"] == 1
    with pytest.raises(JobError, match="the cache can't be read"):
        trainer.step(2)


def test_the_thread_ends_with_the_trainer(setup: Setup):
    trainer = setup.trainer("sft")
    trainer.step(1)
    (thread,) = trainer.ahead.thread._threads
    assert thread.is_alive()
    del trainer
    thread.join(10)
    assert not thread.is_alive()
