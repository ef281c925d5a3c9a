"""Each loss against a slow loop over examples, layers and tokens."""

import math

import pytest
import torch

from fewshot_distillation.config.catalogue import HiddenStates, Logits
from fewshot_distillation.student.losses import forward_kl, layerwise

BATCH, LAYERS, HIDDEN, VOCABULARY, K = 3, 2, 5, 11, 4


def condition_c(**changes) -> HiddenStates:
    return HiddenStates(label="C", teacher="t", target="hidden_states", **changes)


def condition_d(**changes) -> Logits:
    return Logits(label="D", teacher="t", target="logits", **changes)


def unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(x * x for x in vector))
    return [x / length for x in vector]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_layerwise(normalize: bool, reduction: str):
    torch.manual_seed(0)
    student, teacher = torch.randn(BATCH, LAYERS, HIDDEN), torch.randn(BATCH, LAYERS, HIDDEN)
    expected = []
    for example in range(BATCH):
        total = 0.0
        for layer in range(LAYERS):
            ours, theirs = student[example, layer].tolist(), teacher[example, layer].tolist()
            if normalize:
                ours, theirs = unit(ours), unit(theirs)
            total += sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True))
        expected.append(total / (LAYERS * HIDDEN) if reduction == "mean" else total)
    found = layerwise.loss(student, teacher, condition_c(normalize=normalize, reduction=reduction))
    torch.testing.assert_close(found, torch.tensor(expected))


def test_layerwise_of_unit_vectors_is_a_cosine():
    """‖â − b̂‖² = 2 − 2 cos, whatever the lengths, so scaling either side changes nothing."""
    student, teacher = torch.randn(BATCH, LAYERS, HIDDEN), torch.randn(BATCH, LAYERS, HIDDEN)
    cosine = torch.cosine_similarity(student, teacher, dim=-1)
    torch.testing.assert_close(layerwise.loss(7 * student, teacher, condition_c()), (2 - 2 * cosine).sum(1))


def test_layerwise_reads_float16_targets_in_float32():
    teacher = torch.randn(BATCH, LAYERS, HIDDEN).half()
    found = layerwise.loss(teacher.bfloat16(), teacher, condition_c())
    assert found.dtype == torch.float32 and found.shape == (BATCH,)


def softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    return [w / sum(weights) for w in weights]


def slow_kl(student: list[float], teacher: list[float], k: int, t: float, tail: str) -> float:
    """T² Σ p log(p / q) for one example, from the full logits of both."""
    chosen = sorted(range(len(teacher)), key=lambda i: -teacher[i])[:k]
    full_p, full_q = softmax([x / t for x in teacher]), softmax([x / t for x in student])
    p, q = [full_p[i] for i in chosen], [full_q[i] for i in chosen]
    if tail == "bucket":
        p, q = [*p, 1 - sum(p)], [*q, 1 - sum(q)]
    else:
        p = [x / sum(p) for x in p]
        if tail == "renormalise":
            q = [x / sum(q) for x in q]
    return t * t * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def targets(teacher: torch.Tensor, k: int, t: float) -> dict[str, torch.Tensor]:
    values, indices = teacher.topk(k, dim=1)
    return {"values": values, "indices": indices.int(), "logsumexp": (teacher / t).logsumexp(1)}


@pytest.mark.parametrize("t", [1.0, 2.0])
@pytest.mark.parametrize("tail", ["renormalise", "bucket", "teacher_only"])
def test_forward_kl(tail: str, t: float):
    torch.manual_seed(1)
    student, teacher = 2 * torch.randn(BATCH, VOCABULARY), 2 * torch.randn(BATCH, VOCABULARY)
    expected = [slow_kl(s, x, K, t, tail) for s, x in zip(student.tolist(), teacher.tolist(), strict=True)]
    found = forward_kl.loss(student, targets(teacher, K, t), condition_d(temperature=t, missing_probability=tail))
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_the_three_tails_are_three_losses():
    """As published, the student pays for its mass outside the top k, which is more than either alternative."""
    torch.manual_seed(2)
    student, teacher = torch.randn(1, VOCABULARY), torch.randn(1, VOCABULARY)
    losses = {
        tail: forward_kl.loss(student, targets(teacher, K, 2.0), condition_d(missing_probability=tail)).item()
        for tail in ("renormalise", "bucket", "teacher_only")
    }
    assert losses["teacher_only"] > max(losses["renormalise"], losses["bucket"])
    assert losses["renormalise"] != pytest.approx(losses["bucket"], rel=0.01)


@pytest.mark.parametrize("t", [1.0, 2.0])
@pytest.mark.parametrize("tail", ["renormalise", "bucket", "teacher_only"])
def test_with_the_whole_vocabulary_every_tail_is_the_full_divergence(tail: str, t: float):
    torch.manual_seed(3)
    student, teacher = torch.randn(BATCH, VOCABULARY), torch.randn(BATCH, VOCABULARY)
    full = torch.nn.functional.kl_div(
        (student / t).log_softmax(1), (teacher / t).log_softmax(1), reduction="none", log_target=True
    ).sum(1)
    found = forward_kl.loss(
        student, targets(teacher, VOCABULARY, t), condition_d(temperature=t, missing_probability=tail)
    )
    torch.testing.assert_close(found, t * t * full, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tail", ["renormalise", "bucket", "teacher_only"])
def test_equal_distributions_have_no_divergence(tail: str):
    """`teacher_only` has one even then, which is the penalty on the student's tail that it is known for."""
    teacher = torch.randn(BATCH, VOCABULARY)
    found = forward_kl.loss(teacher, targets(teacher, K, 2.0), condition_d(missing_probability=tail))
    assert (found > 0.01).all() if tail == "teacher_only" else found.abs().max() < 1e-4


@pytest.mark.parametrize("tail", ["renormalise", "bucket", "teacher_only"])
@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_gradient_is_finite(tail: str, scale: float):
    """Also where one token has all the probability, so that nothing is left for the tail."""
    torch.manual_seed(4)
    student = (scale * torch.randn(BATCH, VOCABULARY)).requires_grad_()
    teacher = scale * torch.randn(BATCH, VOCABULARY)
    forward_kl.loss(
        student, targets(teacher, K, 1.0), condition_d(temperature=1.0, missing_probability=tail)
    ).sum().backward()
    assert torch.isfinite(student.grad).all() and student.grad.abs().max() > 0


def test_layerwise_gradient_at_equal_and_zero_states_is_finite():
    student = torch.zeros(1, LAYERS, HIDDEN, requires_grad=True)
    layerwise.loss(student, torch.zeros(1, LAYERS, HIDDEN), condition_c()).sum().backward()
    assert torch.isfinite(student.grad).all()
