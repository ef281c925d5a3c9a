"""Copies of a model (DDP) whose passes leave trained weights unused, in one process of a group of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.distributed import HashStore, destroy_process_group, init_process_group
from torch.nn.parallel import DistributedDataParallel

from fewshot_distillation.student.trainer import _copies
from training import Setup

STATES = {"label": "S", "target": "hidden_states", "teacher": "fewshot", "layers": [0]}
EXTRA = {
    "labelled": 4,
    "conditions__below": {**STATES, "examples": "unlabelled", "cross_entropy": 0.0},
    "conditions__mixed": {**STATES, "label": "T", "examples": "unlabelled", "sft_examples": "labelled"},
    "studies__all": {"models": ["tiny"], "conditions": ["below", "mixed"], "schedules": ["short"]},
}


@pytest.fixture
def group() -> Iterator[None]:
    init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    destroy_process_group()


@pytest.mark.parametrize(("condition", "asks"), [("below", True), ("mixed", True), ("layerwise", False)])
def test_weights_that_a_pass_leaves_unused(
    tmp_path: Path, model_folder: Path, splits, group, condition: str, asks: bool
):
    setup = Setup(tmp_path, model_folder, splits[0], **EXTRA)
    trainer = setup.trainer(condition, training__default__lora__dropout=0.0)
    alone = setup.trainer(condition, training__default__lora__dropout=0.0)
    settings = _copies(trainer.spec.learning).to_kwargs()
    assert settings.get("find_unused_parameters", False) is asks
    trainer.model = DistributedDataParallel(trainer.student, **settings)
    for step in (1, 2, 3):
        found, expected = trainer.step(step), alone.step(step)
        assert found["loss"] == expected["loss"] and found["grad_norm"] == expected["grad_norm"]
    pairs = zip(trainer.trained_parameters, alone.trained_parameters, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
