"""Optimizers by name: they train, are fused on a GPU, and continue from a saved state."""

from pathlib import Path

import pytest
import torch

from fewshot_distillation.student import optimizers
from fewshot_distillation.student import trainer as trainer_module
from fewshot_distillation.student.state import save_state
from training import Setup, adapter_of


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("setup"), model_folder, splits[0])


OPTIMIZERS = [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]


@pytest.mark.parametrize(("name", "kind"), OPTIMIZERS)
@pytest.mark.parametrize("fused", [False, True], ids=["as on a CPU", "as on a GPU"])
def test_every_optimizer_trains_and_continues(
    setup: Setup, tmp_path: Path, name: str, kind: type, fused: bool, monkeypatch: pytest.MonkeyPatch
):
    settings = {"training__default__optimizer": name, "training__default__learning_rate": 0.05}
    # Steps of either form differ by rounding only.
    plain = setup.trainer("sft", **settings)
    create = optimizers.optimizer_of
    monkeypatch.setattr(trainer_module, "optimizer_of", lambda training, trained, _: create(training, trained, fused))
    trainer, other = (setup.trainer("sft", **settings) for _ in range(2))
    assert type(trainer.optimizer.optimizer) is kind
    assert bool(trainer.optimizer.param_groups[0]["fused"]) is fused
    metrics = [trainer.step(step) for step in (1, 2)]
    assert metrics[1]["loss"] == pytest.approx([plain.step(step) for step in (1, 2)][1]["loss"], rel=1e-4)
    save_state(tmp_path, 2, trainer.student, trainer.optimizer.optimizer, metrics)
    assert other.resume(tmp_path)[0] == 2
    rows = [one.step(3) for one in (trainer, other)]
    assert rows[0] == rows[1] and torch.equal(adapter_of(trainer), adapter_of(other))
    assert not torch.equal(adapter_of(trainer), adapter_of(setup.trainer("sft", **settings)))


def test_one_without_a_fused_form(setup: Setup, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(optimizers.OPTIMIZERS, "adamw", torch.optim.NAdam)
    trained = [torch.nn.Parameter(torch.ones(2))]
    assert type(optimizers.optimizer_of(setup.spec("sft").training, trained, fused=True)) is torch.optim.NAdam
