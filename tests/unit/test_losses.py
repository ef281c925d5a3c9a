"""Each loss against a slow loop over examples, layers and tokens."""

import math

import pytest
import torch
from pydantic import ValidationError

from fewshot_distillation.config.targets import HiddenStatesTarget, LogitsTarget, losses, refused
from fewshot_distillation.student.losses.hidden_states import layerwise
from fewshot_distillation.student.losses.logits import forward_kl, jensen_shannon, reverse_kl, squared_error
from fewshot_distillation.teacher.logits import top_k

BATCH, LAYERS, HIDDEN, VOCABULARY, K = 3, 2, 5, 11, 4


def states_target(**changes) -> HiddenStatesTarget:
    return HiddenStatesTarget(teacher="t", target="hidden_states", **changes)


def logits_target(**changes) -> LogitsTarget:
    return LogitsTarget(teacher="t", target="logits", **changes)


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
    found = layerwise.loss(student, teacher, states_target(normalize=normalize, reduction=reduction))
    torch.testing.assert_close(found, torch.tensor(expected))


def test_layerwise_of_unit_vectors_is_a_cosine():
    """‖â − b̂‖² = 2 − 2 cos, whatever the lengths, so scaling either side changes nothing."""
    student, teacher = torch.randn(BATCH, LAYERS, HIDDEN), torch.randn(BATCH, LAYERS, HIDDEN)
    cosine = torch.cosine_similarity(student, teacher, dim=-1)
    torch.testing.assert_close(layerwise.loss(7 * student, teacher, states_target()), (2 - 2 * cosine).sum(1))


def test_layerwise_reads_float16_targets_in_float32():
    teacher = torch.randn(BATCH, LAYERS, HIDDEN).half()
    found = layerwise.loss(teacher.bfloat16(), teacher, states_target())
    assert found.dtype == torch.float32 and found.shape == (BATCH,)


def softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    return [w / sum(weights) for w in weights]


def distributions(student: list[float], teacher: list[float], k: int, t: float, missing: str) -> tuple[list, list]:
    """Both distributions over the teacher's top k, from the full logits of both, by the definitions."""
    chosen = sorted(range(len(teacher)), key=lambda i: -teacher[i])[:k]
    full_p, full_q = softmax([x / t for x in teacher]), softmax([x / t for x in student])
    p, q = [full_p[i] for i in chosen], [full_q[i] for i in chosen]
    if missing == "bucket":
        return [*p, 1 - sum(p)], [*q, 1 - sum(q)]
    p = [x / sum(p) for x in p]
    return p, [x / sum(q) for x in q] if missing == "renormalise" else q


def slow_kl(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a > 0)


def slow(divergence: str, student: list, teacher: list, k: int, t: float, missing: str, beta: float = 0.5) -> float:
    """One token's divergence in float64."""
    if divergence == "squared_error":
        chosen = sorted(range(len(teacher)), key=lambda i: -teacher[i])[:k]
        return sum((student[i] - teacher[i]) ** 2 for i in chosen) / k
    p, q = distributions(student, teacher, k, t, missing)
    if divergence == "jensen_shannon":
        m = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
        return t * t * (beta * slow_kl(p, m) + (1 - beta) * slow_kl(q, m))
    return t * t * (slow_kl(p, q) if divergence == "forward_kl" else slow_kl(q, p))


def targets(teacher: torch.Tensor, k: int, t: float) -> dict[str, torch.Tensor]:
    values, indices = teacher.topk(k, dim=1)
    full = (teacher / t).logsumexp(1)
    rest = (teacher.scatter(1, indices, -torch.inf) / t).logsumexp(1) - full
    return {"values": values, "indices": indices.int(), "logsumexp": full, "rest": rest}


DIVERGENCES = {"forward_kl": forward_kl, "reverse_kl": reverse_kl, "jensen_shannon": jensen_shannon}
DIVERGENCES |= {"squared_error": squared_error}
MISSING = ["renormalise", "bucket", "teacher_only"]
PAIRS = [(name, missing) for name in DIVERGENCES for missing in MISSING if missing not in refused(name)]


def pair(scale: float = 2.0, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return scale * torch.randn(BATCH, VOCABULARY), scale * torch.randn(BATCH, VOCABULARY)


def test_the_configuration_knows_every_divergence():
    assert set(losses("logits")) == set(DIVERGENCES) and set(losses("hidden_states")) == {"layerwise"}


@pytest.mark.parametrize("t", [1.0, 2.0])
@pytest.mark.parametrize(("divergence", "missing"), PAIRS)
def test_divergences_against_their_definitions(divergence: str, missing: str, t: float):
    student, teacher = pair()
    expected = [slow(divergence, s, x, K, t, missing) for s, x in zip(student.tolist(), teacher.tolist(), strict=True)]
    target = logits_target(divergence=divergence, temperature=t, missing_probability=missing)
    found = DIVERGENCES[divergence].loss(student, targets(teacher, K, t), target)
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_what_is_refused_is_smallest_where_a_student_drops_the_teacher_s_tokens():
    """With `teacher_only` reverse KL is; Jensen–Shannon's is smallest where both are equal, and zero there."""
    teacher = torch.log_softmax(3 * pair()[1], dim=1)
    cached = targets(teacher, K, 1.0)
    p = torch.where(torch.zeros_like(teacher).scatter(1, cached["indices"].long(), 1.0) > 0, teacher.exp(), 0.0)
    p = p / p.sum(1, keepdim=True)
    values = {}
    for mass in (0.3, math.exp(-1), 0.6, 1 - 1e-6):  # of the student, on the teacher's tokens
        student = torch.where(p > 0, mass * p, (1 - mass) / (VOCABULARY - K)).log()
        given = {"temperature": 1.0, "missing_probability": "teacher_only"}
        target = logits_target(divergence="reverse_kl", temperature=1.0).model_copy(update=given)
        values[mass] = [reverse_kl.loss(student, cached, target).mean().item()]
        for beta in (0.1, 0.5, 0.9):
            target = logits_target(divergence="jensen_shannon", parameters={"beta": beta}, **given)
            values[mass].append(jensen_shannon.loss(student, cached, target).mean().item())
    reverse, *others = zip(*values.values(), strict=True)
    assert reverse[1] == min(reverse) == pytest.approx(-math.exp(-1), abs=1e-4)
    for found in others:
        assert list(found) == sorted(found, reverse=True) and found[-1] == pytest.approx(0, abs=1e-4)
    with pytest.raises(ValidationError, match="teacher_only can't go with reverse_kl"):
        logits_target(divergence="reverse_kl", missing_probability="teacher_only")


@pytest.mark.parametrize("beta", [0.1, 0.9])
def test_the_weight_of_the_generalised_jensen_shannon_divergence(beta: float):
    student, teacher = pair()
    expected = [
        slow("jensen_shannon", s, x, K, 1.0, "renormalise", beta)
        for s, x in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    target = logits_target(divergence="jensen_shannon", temperature=1.0, parameters={"beta": beta})
    found = jensen_shannon.loss(student, targets(teacher, K, 1.0), target)
    torch.testing.assert_close(found.double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_teacher_only_is_larger_by_the_student_s_missing_probability():
    """KL(p ‖ q) with q not renormalised is the renormalised one and −log of the student's mass on the top k."""
    student, teacher = pair()
    found = {
        missing: forward_kl.loss(student, targets(teacher, K, 2.0), logits_target(missing_probability=missing))
        for missing in MISSING
    }
    covered = (student / 2).softmax(1).gather(1, teacher.topk(K, dim=1).indices).sum(1)
    torch.testing.assert_close(found["teacher_only"], found["renormalise"] - 4 * covered.log())


@pytest.mark.parametrize(("divergence", "missing"), PAIRS)
def test_top_k_converges_to_the_whole_vocabulary(divergence: str, missing: str):
    """With more and more tokens the value comes closer to that of the full distributions, and reaches it."""
    student, teacher = pair()
    full = [
        slow(divergence, s, x, VOCABULARY, 1.0, "renormalise")
        for s, x in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    target = logits_target(divergence=divergence, temperature=1.0, missing_probability=missing)
    off = []
    for k in (4, 9, VOCABULARY):
        found = DIVERGENCES[divergence].loss(student, targets(teacher, k, 1.0), target)
        off.append((found.double() - torch.tensor(full, dtype=torch.float64)).abs().max().item())
    assert off[2] < 1e-4 and off[2] < off[0] and off[2] < off[1] + 1e-6


@pytest.mark.parametrize(("divergence", "missing"), PAIRS)
def test_equal_distributions_have_no_divergence(divergence: str, missing: str):
    """But for `teacher_only`, which has one even then: the penalty on the student's tail that it is known for."""
    _, teacher = pair()
    target = logits_target(divergence=divergence, missing_probability=missing)
    found = DIVERGENCES[divergence].loss(teacher, targets(teacher, K, 2.0), target)
    if missing == "teacher_only" and divergence != "squared_error":
        assert (found.abs() > 0.001).all()
    else:
        assert found.abs().max() < 1e-6


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_a_cached_teacher_that_equals_the_student_has_no_divergence(divergence: str):
    """Through the cache's own types, with logits as large as those of a real model and a bucket for the rest."""
    torch.manual_seed(3)
    logits = 30 - 8 * torch.rand(5, 400).sort(dim=1).values.cumsum(1).clamp_max(8)
    cached = top_k(logits, 64, [1.0])
    teacher = {
        "values": cached["max"].unsqueeze(1) - cached["below"].float(),
        "indices": cached["indices"],
        "logsumexp": cached["logsumexp"][:, 0],
        "rest": cached["rest"][:, 0],
    }
    target = logits_target(divergence=divergence, temperature=1.0, missing_probability="bucket", top_k=64)
    most = 1e-4 if divergence == "squared_error" else 1e-5
    assert DIVERGENCES[divergence].loss(logits, teacher, target).abs().max() < most


@pytest.mark.parametrize(("divergence", "missing"), PAIRS)
def test_gradients_against_finite_differences(divergence: str, missing: str, monkeypatch):
    student, teacher = (x.double() for x in pair())
    target = logits_target(divergence=divergence, temperature=1.5, missing_probability=missing)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # or differences would be those of float32
    given = targets(teacher, K, 1.5)
    assert torch.autograd.gradcheck(
        lambda x: DIVERGENCES[divergence].loss(x, given, target), student.requires_grad_(), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize(("divergence", "missing"), PAIRS)
def test_gradient_is_finite(divergence: str, missing: str, scale: float):
    """Also where one token has all the probability, so that nothing is left for the tail."""
    student, teacher = pair(scale)
    student.requires_grad_()
    target = logits_target(divergence=divergence, temperature=1.0, missing_probability=missing)
    DIVERGENCES[divergence].loss(student, targets(teacher, K, 1.0), target).sum().backward()
    assert torch.isfinite(student.grad).all()
