"""Deterministic kernels are used, and a model that needs an operation without one trains all the same."""

import logging
from pathlib import Path

import pytest
import torch

from fewshot_distillation.student.determinism import be_deterministic, rehearse
from training import Setup, adapter_of


@pytest.fixture(autouse=True)
def settings():
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def without_deterministic_kernel() -> None:
    torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))


def test_an_operation_without_a_deterministic_kernel_is_an_error():
    be_deterministic()
    with pytest.raises(RuntimeError, match="deterministic"):
        without_deterministic_kernel()


def test_a_model_that_needs_one_is_trained_and_the_log_says_so(tmp_path: Path, model_folder: Path, splits, caplog):
    setup = Setup(tmp_path / "teacher", model_folder, splits[0])
    weights = []
    for needed in (False, True):
        be_deterministic()
        trainer = setup.trainer("layerwise")
        if needed:
            layer = trainer.student.base[0].get_decoder().layers[0]
            layer.register_forward_pre_hook(lambda *_: without_deterministic_kernel())
        with caplog.at_level(logging.WARNING):
            rehearse(trainer, trainer.plan(1))
        assert ("doesn't repeat to the byte" in caplog.text and "put_" in caplog.text) == needed
        trainer.step(1)
        weights.append(adapter_of(trainer))
    assert torch.equal(*weights), "the rehearsal leaves no trace"


def test_other_errors_are_raised(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    trainer = Setup(tmp_path / "teacher", model_folder, splits[0]).trainer("layerwise")
    monkeypatch.setattr(trainer, "_forward", lambda *_: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(RuntimeError, match="size"):
        rehearse(trainer, trainer.plan(1))
