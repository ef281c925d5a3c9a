"""The study `as_executed`: its prompts, losses and learning rates are the published code's, by formulas and texts that
are written down here."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml

from fewshot_distillation.config.chosen_study import with_settings
from fewshot_distillation.config.load import load
from fewshot_distillation.config.study import Study
from fewshot_distillation.data.datasets import read_source_file
from fewshot_distillation.data.prompts import PromptBuilder
from fewshot_distillation.data.word_problems import word_problems
from fewshot_distillation.student.losses.hidden_states import layerwise
from fewshot_distillation.student.losses.logits import forward_kl, squared_error
from tiny import make_tokenizer
from training import learning_rates

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
THINKING_OFF = "<think>\n\n</think>\n\n"


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    raw = yaml.safe_load((ROOT / "workflow_config.yaml").read_text())
    return {name: Study(load(with_settings(raw, [name], {}))) for name in ("as_executed", "as_executed_later")}


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    """Ten questions of GSM8K with their answers, or where it isn't beside this checkout ten of the same form."""
    path = DATA / "gsm8k" / "test.jsonl"
    found = [row for _, row in read_source_file(path)] if path.exists() else word_problems(10, 1, seed=3)["train"]
    return found[:10]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    """Qwen3's tokenizer, or where it isn't beside this checkout a small one whose template knows the same switch."""
    if (DATA / "qwen3-tokenizer").exists():
        return DATA / "qwen3-tokenizer"
    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save_pretrained(folder)
    return folder


def text(builder: PromptBuilder, row: dict, shown: list[dict]) -> str:
    return builder.tokenizer.decode(builder.build(row["question"], shown).ids)


@pytest.mark.parametrize("base", [True, False], ids=["untrained", "tuned"])
def test_prompts(studies: dict[str, Study], rows: list[dict], tokenizer: Path, base: bool):
    """`Question: ` before each question; thinking on where the base model answers, off after training."""
    spec = studies["as_executed"].model_spec("qwen3-1.7b", base=base)
    builder = PromptBuilder.of_model(tokenizer, spec.chat_template, spec.wording)
    for row in rows:
        asked = f"<|im_start|>user\nQuestion: {row['question'].strip()}<|im_end|>\n<|im_start|>assistant\n"
        assert text(builder, row, []) == asked + ("" if base else THINKING_OFF)
    first, second, last = rows[:3]
    shown = "".join(
        f"<|im_start|>user\nQuestion: {row['question'].strip()}<|im_end|>\n<|im_start|>assistant\n"
        f"{row['answer']}<|im_end|>\n"
        for row in (first, second)
    )
    asked = f"<|im_start|>user\nQuestion: {last['question'].strip()}<|im_end|>\n<|im_start|>assistant\n"
    assert text(builder, last, [first, second]) == shown + asked + ("" if base else THINKING_OFF)


def test_loss_of_condition_c(studies: dict[str, Study]):
    """The mean squared error of unit vectors over layers, features and examples."""
    (target,) = studies["as_executed"].config.conditions["layerwise"].all_targets
    draw = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 5, 28, 64, generator=draw).unbind()
    ours = layerwise.loss(student, teacher, target).mean()
    unit = [states / states.pow(2).sum(-1, keepdim=True).sqrt() for states in (student, teacher)]
    assert ours == pytest.approx(float((unit[0] - unit[1]).pow(2).mean()), rel=1e-5)
    assert ours == pytest.approx(float(F.mse_loss(*unit)), rel=1e-5)
    summed = layerwise.loss(student, teacher, target.model_copy(update={"reduction": "sum"})).mean()
    assert float(summed / ours) == pytest.approx(28 * 64, rel=1e-5), "as written it weighs that many times as much"


def test_loss_of_condition_d(studies: dict[str, Study]):
    """T² Σ p (log p − log q) over the teacher's top k: p is renormalised over them, q is over the whole vocabulary."""
    (target,) = studies["as_executed"].config.conditions["logit_kl"].all_targets
    assert (target.temperature, target.top_k) == (2.0, 1024)
    draw = torch.Generator().manual_seed(1)
    student, logits = 3 * torch.randn(2, 4, 5000, generator=draw)
    values, indices = logits.topk(target.top_k, dim=1)
    expected = 0.0
    for mine, best, where in zip(student.double() / 2, values.double() / 2, indices, strict=True):
        p = best.exp() / best.exp().sum()
        q = mine.exp() / mine.exp().sum()
        expected += float(4 * (p * (p.log() - q[where].log())).sum()) / len(student)
    teacher = {"values": values, "indices": indices, "logsumexp": (logits / 2).logsumexp(1), "rest": torch.zeros(4)}
    assert float(forward_kl.loss(student, teacher, target).mean()) == pytest.approx(expected, rel=1e-5)


def test_loss_of_the_later_method(studies: dict[str, Study]):
    """The mean squared error of raw logits over the teacher's top 256 at every token but the first of an answer."""
    (target,) = studies["as_executed_later"].config.conditions["answer_mse"].all_targets
    assert (target.span, target.top_k) == ("answer_rest", 256)
    draw = torch.Generator().manual_seed(2)
    student, logits = torch.randn(2, 7, 900, generator=draw)
    values, indices = logits.topk(256, dim=1)
    ours = squared_error.loss(student, {"values": values, "indices": indices}, target).mean()
    expected = sum((float(student[i, j]) - float(logits[i, j])) ** 2 for i in range(7) for j in indices[i].tolist())
    assert float(ours) == pytest.approx(expected / (7 * 256), rel=1e-5)


def test_learning_rates(studies: dict[str, Study]):
    """Two scheduler steps a step: what steps 10, 25, 50, … took, in the long and in the early runs."""
    expected = {
        "full": {
            10: 7.2e-5,
            25: 1.92e-4,
            50: 1.9874e-4,
            80: 1.9369e-4,
            100: 1.8826e-4,
            500: 2.1872e-9,
            1000: 1.9874e-4,
        },
        "early": {10: 7.2e-5, 25: 1.92e-4, 50: 7.8853e-7, 80: 1.8763e-4, 100: 7.8853e-7},
    }
    study = studies["as_executed"]
    for schedule, rates in expected.items():
        spec = study.train("qwen3-1.7b", "layerwise", "0.5", "42", schedule)
        taken = learning_rates(spec.training, spec.schedule.max_steps)
        for step, rate in rates.items():
            done, total = 2 * (step - 1), spec.schedule.max_steps
            formula = done / 50 if done < 50 else 0.5 * (1 + math.cos(math.pi * (done - 50) / (total - 50)))
            assert taken[step - 1] == pytest.approx(rate, rel=1e-4) == pytest.approx(2e-4 * formula, rel=1e-4)


def test_the_first_answer_token_is_left_out(studies: dict[str, Study], rows: list[dict], tokenizer: Path):
    from fewshot_distillation.data.sequences import Sequence

    spec = studies["as_executed_later"].model_spec("qwen3-1.7b")
    builder = PromptBuilder.of_model(tokenizer, spec.chat_template, spec.wording)
    sequence = Sequence(builder.build(rows[0]["question"]), builder.answer_ids(rows[0]["answer"]))
    whole, rest = sequence.span("answer"), sequence.span("answer_rest")
    assert list(whole)[1:] == list(rest) and sequence.ids[rest[0]] == sequence.answer[0]
