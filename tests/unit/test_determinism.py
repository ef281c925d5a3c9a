"""Deterministic kernels are used, and a model that needs an operation without one trains all the same."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fewshot_distillation.student.determinism import be_deterministic, rehearse
from training import Setup, adapter_of


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.fixture
def setup(tmp_path: Path, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path / "teacher", model_folder, splits[0])


class WithoutDeterministicKernel(torch.autograd.Function):
    """Changes nothing; its backward pass needs such an operation."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
        return gradient


def test_an_operation_without_a_deterministic_kernel_is_an_error_once_a_pass_succeeded(setup: Setup):
    be_deterministic()
    trainer = setup.trainer("layerwise")
    rehearse(trainer, trainer.plan(1))
    with pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))


def test_a_model_that_needs_one_is_trained_and_the_log_says_so(setup: Setup, caplog):
    """The first attempt fails when later layers have their gradients already, which leave no trace."""
    be_deterministic()
    plain, needing = setup.trainer("layerwise"), setup.trainer("layerwise")
    first = needing.student.base[0].get_decoder().layers[0]
    first.register_forward_hook(lambda _module, _inputs, output: WithoutDeterministicKernel.apply(output))
    with caplog.at_level(logging.WARNING):
        rehearse(needing, needing.plan(1))
    assert "doesn't repeat to the byte with this model: put_ does not have" in caplog.text
    assert all(p.grad is None for p in needing.trained_parameters)
    plain.step(1)
    needing.step(1)
    assert torch.equal(adapter_of(plain), adapter_of(needing))


@pytest.mark.parametrize("message", ["sizes differ", "Deterministic behavior … set CUBLAS_WORKSPACE_CONFIG=:4096:8"])
def test_other_errors_are_raised(setup: Setup, monkeypatch, message: str):
    trainer = setup.trainer("layerwise")

    def fail(*_):
        raise RuntimeError(message)

    monkeypatch.setattr(trainer, "forward", fail)
    with pytest.raises(RuntimeError, match=message.partition(" ")[0]):
        rehearse(trainer, trainer.plan(1))
