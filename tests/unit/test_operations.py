"""What a GPU waits for in a training step: passes through the layers, and operations that are dispatched."""

from collections import Counter
from pathlib import Path

import pytest

from fewshot_distillation.modeling.hidden_states import decoder_of
from operations import Operations
from training import Setup

# Operations that launch something, of a step of the tiny model of two layers: a few more than there are now.
MOST = {"sft": 890, "layerwise": 970, "logit_kl": 1010}


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("teacher") / "caches", model_folder, splits[0])


def counted(setup: Setup, condition: str, **changes) -> tuple[int, Counter[str]]:
    """Passes and operations of a step."""
    trainer, passes = setup.trainer(condition, **changes), []
    decoder_of(trainer.student.base[0]).register_forward_hook(lambda *_: passes.append(1))
    trainer.step(1)  # moments are made
    passes.clear()
    with Operations() as operations:
        trainer.step(2)
    return len(passes), operations.counts


@pytest.mark.parametrize("condition", MOST)
def test_a_step_that_fits_is_one_pass(setup: Setup, condition: str):
    passes, counts = counted(setup, condition, training__default__micro_batch_tokens=4096)
    assert passes == 1
    # Attention is one call a sequence on a CPU, and one in all on a GPU.
    attention = sum(n for name, n in counts.items() if "attention" in name)
    assert counts.total() - attention <= MOST[condition], counts
    assert not counts["aten::index_put"] and not counts["aten::index_add"], "additions in an order that a GPU chooses"


def test_a_smaller_budget_makes_more_passes(setup: Setup):
    one, few = counted(setup, "sft", training__default__micro_batch_tokens=4096)
    several, many = counted(setup, "sft", training__default__micro_batch_tokens=160)
    assert several > one == 1 and many.total() > few.total()
