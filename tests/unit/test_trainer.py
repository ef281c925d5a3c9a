"""Steps of the trainer: the same whatever the micro batches, at the learning rates of the schedule."""

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer

from fewshot_distillation.config.machine import Machine
from fewshot_distillation.errors import JobError
from fewshot_distillation.modeling.adapters import load_checkpoint
from fewshot_distillation.runtime.files import sha256
from fewshot_distillation.student.examples import examples_of_step
from fewshot_distillation.student.run import TrainInputs, train
from fewshot_distillation.student.targets import TargetCache
from tiny import fetched_model, study, write_dataset
from training import Setup, adapter_of

CONDITIONS = ["sft", "layerwise", "logit_kl"]
# Masks are drawn for each micro batch, so only without dropout may the cut into micro batches not matter.
NO_DROPOUT = {"training__default__lora__dropout": 0.0}


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("setup"), model_folder, splits[0])


@pytest.mark.parametrize("condition", CONDITIONS)
def test_micro_batches_do_not_matter(setup: Setup, condition: str):
    runs = {
        size: setup.trainer(condition, training__default__micro_batch_tokens=size, **NO_DROPOUT)
        for size in (192, 256, 1024)
    }
    rows = {size: [trainer.step(step) for step in range(1, 5)] for size, trainer in runs.items()}
    start = adapter_of(setup.trainer(condition, **NO_DROPOUT))
    whole = adapter_of(runs[1024])
    assert (whole - start).abs().max() > 0.01
    for size in (192, 256):
        for ours, theirs in zip(rows[size], rows[1024], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)
        # Adam divides by the gradient's size, which magnifies rounding where a gradient is next to nothing.
        assert (adapter_of(runs[size]) - whole).norm() < 0.01 * (whole - start).norm()


@pytest.mark.parametrize("adapter", ["lora", "none"])
def test_a_padding_token_outside_the_vocabulary_changes_nothing(
    setup: Setup, tmp_path: Path, source_folder: Path, splits, adapter: str
):
    """`[PAD]`, added to the tokenizer as the first token that the model has no embedding of; padding is never read."""
    source = tmp_path / "source"
    shutil.copytree(source_folder, source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(source)
    config = json.loads((source / "config.json").read_text())
    assert tokenizer.pad_token_id == config["vocab_size"]
    (source / "config.json").write_text(json.dumps(config | {"pad_token_id": tokenizer.pad_token_id}))
    padded = Setup(tmp_path / "setup", fetched_model(source, tmp_path / "model"), splits[0])
    changes = {"training__default__adapter": adapter}
    runs = [one.train("logit_kl", tmp_path / name, **changes) for one, name in ((padded, "padded"), (setup, "usual"))]
    assert pd.DataFrame.equals(*(pd.read_csv(run / "metrics.csv").drop(columns="tokens_per_second") for run in runs))
    last = [max((run / "checkpoints").glob("checkpoint-*")) for run in runs]
    models = [load_checkpoint(one.model, one_of, "fp32") for one, one_of in zip((padded, setup), last, strict=True)]
    ids = torch.arange(9).unsqueeze(0)
    assert torch.equal(*(model(ids).logits for model in models))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_accumulated_gradient_is_that_of_one_big_batch(setup: Setup, condition: str, monkeypatch):
    """Before the optimizer has a say, and with an adapter whose every part gets a gradient."""
    gradients = {}
    for size in (192, 1024):
        trainer = setup.trainer(
            condition, training__default__micro_batch_tokens=size, training__default__max_grad_norm=1e9, **NO_DROPOUT
        )
        trained = [p for p in trainer.student.parameters() if p.requires_grad]
        torch.manual_seed(3)
        for parameter in trained:
            parameter.data.normal_(std=0.1)
        monkeypatch.setattr(trainer.optimizer, "step", lambda: None)
        monkeypatch.setattr(trainer.optimizer, "zero_grad", lambda: None)
        trainer.step(1)
        gradients[size] = torch.cat([p.grad.flatten() for p in trained])
    assert gradients[1024].norm() > 0.01
    torch.testing.assert_close(gradients[192], gradients[1024], rtol=1e-3, atol=1e-5)


def test_loss_is_what_the_documentation_says(setup: Setup):
    """L = L_CE + λ L_distillation, the first over answer tokens and the second over examples of the whole step."""
    row = setup.trainer("layerwise", **NO_DROPOUT).step(1)
    assert row["loss"] == pytest.approx(row["ce"] + 0.5 * row["distillation"])
    assert row["weighted_over_ce"] == pytest.approx(0.5 * row["distillation"] / row["ce"])
    plain = setup.trainer("sft", **NO_DROPOUT).step(1)
    assert plain["loss"] == plain["ce"] == pytest.approx(row["ce"])
    assert plain["tokens"] == row["tokens"] > 0


def test_the_first_steps_are_an_epoch(setup: Setup, monkeypatch):
    """Twelve examples in three steps of four; counting steps from another number would leave some out."""
    trainer, seen = setup.trainer("sft"), []
    forward = trainer.forward

    def noted(plan, number: int, *weights: dict) -> tuple:
        seen.extend(example.index for example in plan.micro_batches[number])
        return forward(plan, number, *weights)

    monkeypatch.setattr(trainer, "forward", noted)
    for step in range(1, 4):
        trainer.step(step)
    assert sorted(seen) == list(range(12))
    assert [sorted(seen[n : n + 4]) for n in (0, 4, 8)] == [sorted(examples_of_step(n, 4, 12, 42)) for n in range(3)]


def test_lambda_zero_is_plain_fine_tuning(setup: Setup):
    plain, zero = setup.trainer("sft"), setup.trainer("layerwise")
    zero.spec = zero.spec.model_copy(update={"lam": 0.0})
    for step in range(1, 4):
        plain.step(step)
        zero.step(step)
    torch.testing.assert_close(adapter_of(plain), adapter_of(zero))


def test_lambda_weighs_the_teacher(setup: Setup):
    ends = []
    for lam in (0.5, 5.0):
        trainer = setup.trainer("layerwise", **NO_DROPOUT)
        trainer.spec = trainer.spec.model_copy(update={"lam": lam})
        rows = [trainer.step(step) for step in range(1, 7)]
        ends.append(rows[-1]["distillation"])
    assert ends[1] < ends[0]


def test_training_lowers_the_loss(setup: Setup):
    """Over the same examples: twelve of them are an epoch of three steps."""
    trainer = setup.trainer("sft", schedules__short__max_steps=9, schedules__short__checkpoints=[9])
    losses = [trainer.step(step)["ce"] for step in range(1, 10)]
    assert sum(losses[6:]) < 0.9 * sum(losses[:3])


def expected_lr(kind: str, step: int) -> float:
    """Of optimizer step `step`, counted from 1, with a peak of 0.01, two steps of warm-up and six in all."""
    done = step - 1
    if done < 2:
        return 0.01 * done / 2
    progress = (done - 2) / 4
    return 0.01 * {"cosine": 0.5 * (1 + math.cos(math.pi * progress)), "linear": 1 - progress, "constant": 1.0}[kind]


@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_learning_rates(setup: Setup, kind: str):
    """Every kind is warmed up, as `warmup_steps` says; the decaying ones end at zero after the last step."""
    trainer = setup.trainer("sft", training__default__lr_scheduler=kind)
    rates = [trainer.step(step)["lr"] for step in range(1, 7)]
    assert rates == pytest.approx([expected_lr(kind, step) for step in range(1, 7)])
    if kind != "constant":
        assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_the_reported_rate_is_the_one_that_was_used(setup: Setup):
    trainer = setup.trainer("sft")
    for step in range(1, 4):
        used, row = trainer.optimizer.param_groups[0]["lr"], trainer.step(step)
        assert row["lr"] == used


def test_gradients_are_clipped(setup: Setup, monkeypatch):
    trainer = setup.trainer("sft", training__default__max_grad_norm=0.001)
    trained = [p for p in trainer.student.parameters() if p.requires_grad]
    norms = []
    monkeypatch.setattr(
        trainer.optimizer, "step", lambda: norms.append(torch.cat([p.grad.flatten() for p in trained]).norm().item())
    )
    assert trainer.step(1)["grad_norm"] > 0.001
    assert norms == [pytest.approx(0.001, rel=1e-2)]


def test_a_loss_that_is_not_finite_names_the_step(setup: Setup):
    trainer = setup.trainer("sft")
    trainer.step(1)
    before = adapter_of(trainer)
    with torch.no_grad():
        next(p for n, p in trainer.student.named_parameters() if "lora_B" in n).fill_(float("nan"))
    with pytest.raises(JobError, match="step 2: the loss or its gradient is not finite"):
        trainer.step(2)
    assert before.isfinite().all()


def test_dropout_is_on_while_training_and_drawn_anew_each_step(setup: Setup):
    with_dropout, without = (
        setup.trainer("sft", training__default__lora__dropout=0.5),
        setup.trainer("sft", training__default__lora__dropout=0.0),
    )
    rows = [(with_dropout.step(n)["ce"], without.step(n)["ce"]) for n in range(1, 5)]
    assert with_dropout.model.training and rows[-1][0] != pytest.approx(rows[-1][1], rel=1e-5)
    seeds = {with_dropout._seed(step, number) for step in range(1, 40) for number in range(8)}
    assert len(seeds) == 39 * 8


def test_a_batch_that_processes_cannot_share(setup: Setup):
    trainer = setup.trainer("sft")
    trainer.accelerator = type("Accelerator", (), {"num_processes": 5})()
    with pytest.raises(JobError, match="effective_batch_size 4 can't be shared by 5 processes"):
        trainer._check_processes()


def test_a_sequence_longer_than_a_micro_batch(setup: Setup):
    with pytest.raises(JobError, match=r"a sequence of \d+ tokens is longer than training.micro_batch_tokens 32"):
        setup.trainer("sft", training__default__micro_batch_tokens=32).step(1)


def target_of(setup: Setup, condition: str, examples: int = 12, **changes) -> TargetCache:
    (target,) = setup.spec(condition, **changes).learning.targets
    return TargetCache(target, *setup.inputs(condition).caches[0], examples)


def test_targets_of_another_dataset(setup: Setup):
    with pytest.raises(JobError, match="has 12 examples, but there are 13 training examples"):
        target_of(setup, "layerwise", 13)


@pytest.mark.parametrize("condition", ["layerwise", "logit_kl"])
def test_targets_of_other_questions(setup: Setup, tmp_path: Path, condition: str):
    """As many of them, so that only what the cache records of its training split tells."""
    other = write_dataset(tmp_path, seed=5)[0]
    (target,), inputs = setup.spec(condition).learning.targets, setup.inputs(condition)
    assert TargetCache(target, *inputs.caches[0], 12, sha256(setup.train_path)).cache.examples == 12
    with pytest.raises(JobError, match="was computed from another training split than the run's own"):
        TargetCache(target, *inputs.caches[0], 12, sha256(other))
    with pytest.raises(JobError, match="was computed from another training split"):
        run = TrainInputs(other, inputs.caches)
        train(setup.spec(condition), setup.model, run, setup.workspace(tmp_path), Machine(trackers=[]))


@pytest.mark.parametrize(("every", "measured"), [(6, []), (5, [1, 6])])
def test_gradients_are_measured_where_a_run_has_two_such_steps(
    setup: Setup, tmp_path: Path, every: int, measured: list
):
    """Of a run of six steps; one value would be in no figure."""
    metrics = pd.read_csv(setup.train("layerwise", tmp_path, log_gradients_every=every) / "metrics.csv")
    found = metrics.dropna(subset="grad_cosine")["step"].tolist() if "grad_cosine" in metrics else []
    assert found == measured
    shown = study(log_gradients_every=every).gradient_runs("tiny")
    assert bool(shown) is bool(measured), "the runs of the figure are those that have values"


def test_targets_are_rows_of_the_cache(setup: Setup):
    """Of the target's span, layers, temperature and number of tokens."""
    sequences = [example.sequence for example in setup.trainer("sft").streams.streams[0]]
    chosen = [5, 2], [sequences[5], sequences[2]]
    one = target_of(setup, "layerwise", conditions__layerwise__layers=[1]).of(*chosen)
    both = target_of(setup, "layerwise").of(*chosen)
    assert both.shape == (2, 2, 32) and torch.equal(one, both[:, [1]])
    found = target_of(setup, "logit_kl", conditions__logit_kl__top_k=4).of(*chosen)
    assert found["values"].shape == found["indices"].shape == (2, 4)
    values = target_of(setup, "logit_kl").of(*chosen)["values"]
    assert torch.equal(found["values"], values[:, :4])
    assert (found["logsumexp"] >= (values / 2).logsumexp(1) - 1e-3).all()


@pytest.mark.parametrize("adapter", ["lora", "none"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_gradient_checkpointing_changes_nothing(setup: Setup, condition: str, adapter: str, monkeypatch):
    """Losses, gradients and weights, with dropout; layers do run twice, or nothing would be tested."""
    runs, forwards = {}, {}
    for name in (False, True):
        trainer = setup.trainer(condition, gradient_checkpointing=name, training__default__adapter=adapter)
        calls: list[int] = []
        trainer.student.base[0].get_decoder().layers[0].mlp.register_forward_pre_hook(lambda *_, c=calls: c.append(1))
        trained = [p for p in trainer.student.parameters() if p.requires_grad]
        gradients = []
        step = trainer.optimizer.step
        monkeypatch.setattr(
            trainer.optimizer,
            "step",
            lambda t=trained, g=gradients, s=step: (g.append(torch.cat([p.grad.flatten() for p in t])), s()),
        )
        rows = [trainer.step(number) for number in range(1, 4)]
        runs[name], forwards[name] = (rows, gradients, adapter_of(trainer)), len(calls)
    assert forwards[True] == 2 * forwards[False] > 0
    assert runs[True][0] == runs[False][0]
    assert all(torch.equal(a, b) and a.norm() > 0 for a, b in zip(runs[True][1], runs[False][1], strict=True))
    assert torch.equal(runs[True][2], runs[False][2])


def test_a_model_without_gradient_checkpointing(setup: Setup, monkeypatch):
    from transformers import Qwen3ForCausalLM

    monkeypatch.setattr(Qwen3ForCausalLM, "supports_gradient_checkpointing", False)
    with pytest.raises(JobError, match="models.tiny.gradient_checkpointing: Qwen3ForCausalLM doesn't have it"):
        setup.trainer("sft", gradient_checkpointing=True)
