"""Losses over the vocabulary in chunks, against all logits at once: values, gradients and what is held."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from fewshot_distillation.modeling import vocabulary
from fewshot_distillation.modeling.hidden_states import logits_of
from fewshot_distillation.modeling.vocabulary import over_vocabulary

TOKENS, HIDDEN, VOCABULARY = 11, 8, 50


class Model(nn.Module):
    """What of a language model counts here: a head, and perhaps a cap."""

    def __init__(self, trained: bool, cap: float | None, sizes: tuple[int, int] = (HIDDEN, VOCABULARY)) -> None:
        super().__init__()
        self.head = nn.Linear(*sizes, bias=False).requires_grad_(trained)
        self.cap = cap

    @property
    def config(self):
        return self

    def get_text_config(self):
        return self

    @property
    def final_logit_softcapping(self) -> float | None:
        return self.cap

    def get_output_embeddings(self) -> nn.Linear:
        return self.head


def kl(logits: Tensor, teacher: Tensor) -> Tensor:
    log_q = logits.log_softmax(-1)
    return (teacher.exp() * (teacher - log_q)).sum(-1, keepdim=True)


def both(logits: Tensor, targets: Tensor, teacher: Tensor) -> Tensor:
    plain = F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.1)
    return torch.cat([plain.unsqueeze(1), kl(logits, teacher)], 1)


def cross_entropy(
    model: Model, hidden: Tensor, targets: Tensor, smoothing: float = 0.0, chunk: int | None = None
) -> Tensor:
    def loss(logits: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(logits, wanted, reduction="none", label_smoothing=smoothing).unsqueeze(1)

    return over_vocabulary(model, loss, hidden, targets, weights=torch.eye(1), chunk=chunk)[0].squeeze(1)


@pytest.fixture
def data() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "hidden": torch.randn(TOKENS, HIDDEN),
        "targets": torch.randint(VOCABULARY, (TOKENS,)),
        "teacher": (3 * torch.randn(TOKENS, VOCABULARY)).log_softmax(-1),
        "weights": torch.rand(TOKENS),
    }


def results(model: Model, values: Tensor, hidden: Tensor, weights: Tensor) -> list[Tensor]:
    """Values, and the gradients of their weighted sum."""
    weighted = values * (weights if values.dim() < 2 else torch.stack([weights, 2 - weights], 1))
    wanted = [hidden, *(p for p in model.parameters() if p.requires_grad)]
    return [values, *torch.autograd.grad(weighted.sum(), wanted)]


@pytest.mark.parametrize("trained", [False, True], ids=["frozen head", "trained head"])
@pytest.mark.parametrize("cap", [None, 0.7])
@pytest.mark.parametrize("chunk", [1, 4, 11, None])
class TestAgainstAllLogitsAtOnce:
    def check(self, model: Model, found: Tensor, expected: Tensor, hidden: Tensor, weights: Tensor) -> None:
        pairs = zip(results(model, found, hidden, weights), results(model, expected, hidden, weights), strict=True)
        for one, other in pairs:
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("smoothing", [0.0, 0.2])
    def test_cross_entropy(self, data, trained: bool, cap: float | None, chunk: int | None, smoothing: float):
        model, hidden = Model(trained, cap), data["hidden"].requires_grad_()
        found = cross_entropy(model, hidden, data["targets"], smoothing, chunk)
        logits = logits_of(model, hidden)
        expected = F.cross_entropy(logits, data["targets"], reduction="none", label_smoothing=smoothing)
        self.check(model, found, expected, hidden, data["weights"])

    def test_a_divergence(self, data, trained: bool, cap: float | None, chunk: int | None):
        model, hidden = Model(trained, cap), data["hidden"].requires_grad_()
        found, values = over_vocabulary(model, kl, hidden, data["teacher"], weights=torch.tensor([[0.3]]), chunk=chunk)
        expected = kl(logits_of(model, hidden), data["teacher"])
        torch.testing.assert_close(values, expected)
        self.check(model, found[:, 0], 0.3 * expected[:, 0], hidden, data["weights"])

    @pytest.mark.parametrize("weights", [[[1.0, 0.0], [0.0, 1.0]], [[0.2, 0.7]], [[0.5, 0.0]]])
    def test_two_values_a_token(self, data, trained: bool, cap: float | None, chunk: int | None, weights: list):
        model, hidden, weights = Model(trained, cap), data["hidden"].requires_grad_(), torch.tensor(weights)
        found, values = over_vocabulary(
            model, both, hidden, data["targets"], data["teacher"], weights=weights, chunk=chunk
        )
        expected = both(logits_of(model, hidden), data["targets"], data["teacher"])
        assert found.shape == (TOKENS, len(weights)) and not values.requires_grad
        torch.testing.assert_close(values, expected)
        expected = expected @ weights.T
        if len(weights) == 1:
            found, expected = found[:, 0], expected[:, 0]
        self.check(model, found, expected, hidden, data["weights"])

    def test_without_gradient(self, data, trained: bool, cap: float | None, chunk: int | None):
        model = Model(trained, cap)
        with torch.no_grad():
            found = cross_entropy(model, data["hidden"], data["targets"], chunk=chunk)
        expected = F.cross_entropy(logits_of(model, data["hidden"]), data["targets"], reduction="none")
        torch.testing.assert_close(found, expected)
        assert not found.requires_grad


@pytest.mark.parametrize("trained", [False, True], ids=["frozen head", "trained head"])
def test_no_tokens(trained: bool):
    hidden = torch.zeros(0, HIDDEN, requires_grad=True)
    values = cross_entropy(Model(trained, None), hidden, torch.zeros(0, dtype=torch.long))
    assert values.shape == (0,)
    values.sum().backward()


@pytest.mark.parametrize("trained", [False, True], ids=["frozen head", "trained head"])
def test_under_autocast(data, trained: bool):
    """The head's product is made in bfloat16, the loss in float32, as without chunks."""
    model, hidden = Model(trained, None), data["hidden"].requires_grad_()

    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy(model, hidden, data["targets"], chunk=4)
        expected = F.cross_entropy(logits_of(model, hidden), data["targets"], reduction="none")
    assert found.dtype == torch.float32
    for one, other in zip(*(results(model, v, hidden, torch.tensor(1.0)) for v in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2)


def test_the_default_chunk(data, monkeypatch):
    sizes = []
    monkeypatch.setattr(vocabulary, "LOGITS", 3 * VOCABULARY + 1)

    def loss(logits: Tensor) -> Tensor:
        sizes.append(len(logits))
        return logits[:, :1]

    over_vocabulary(Model(False, None), loss, data["hidden"], weights=torch.eye(1))
    assert sizes == [3, 3, 3, 2]


def peak(step) -> int:
    """The most bytes that a step holds at once beyond what there was before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        step()
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(itertools.accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


@pytest.mark.parametrize("trained", [False, True], ids=["frozen head", "trained head"])
def test_memory_grows_with_the_chunk_and_not_with_the_batch(trained: bool):
    vocabulary_size = 20_000
    model = Model(trained, None, (HIDDEN, vocabulary_size))

    def held(tokens: int, chunk: int) -> int:
        hidden, targets = torch.randn(tokens, HIDDEN, requires_grad=True), torch.zeros(tokens, dtype=torch.long)
        return peak(lambda: cross_entropy(model, hidden, targets, chunk=chunk).sum().backward())

    logits = 4 * vocabulary_size  # bytes a token
    assert held(256, 32) - held(64, 32) < 20 * logits
    assert held(256, 128) - held(256, 32) >= 96 * logits


@pytest.mark.parametrize("values", [1, 2])
def test_products_with_the_head(data, values: int):
    """One for the logits and one for the gradient, however many values a token has: a third costs a fifteenth of a
    step of fine-tuning at Qwen3's vocabulary."""
    model, hidden = Model(False, None), data["hidden"].requires_grad_()
    loss, given = (both, [data["targets"], data["teacher"]]) if values == 2 else (kl, [data["teacher"]])
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        over_vocabulary(model, loss, hidden, *given, weights=torch.ones(1, values))[0].sum().backward()
    assert sum(event.count for event in profiled.key_averages() if event.key == "aten::mm") == 2
