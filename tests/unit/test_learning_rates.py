"""A schedule that moves on by several steps in an optimizer step, as trainers step it that leave it to accelerate."""

import math
from pathlib import Path
from types import SimpleNamespace

import accelerate.scheduler
import pytest
import torch
from accelerate.scheduler import AcceleratedScheduler
from transformers import get_cosine_schedule_with_warmup

from fewshot_distillation.config.load import load
from fewshot_distillation.config.specs import TrainSpec
from tiny import CONFIG, edited, train_spec
from training import Setup, learning_rates

PEAK, WARM_UP = 2e-4, 50
# Of the published runs: optimizer step, and the learning rate that it took. Two processes moved the schedule on by two
# steps in each, so 1,000 steps went through the cosine twice, to zero at step 501 and back.
FULL = {10: 7.2e-5, 25: 1.92e-4, 50: 1.9874e-4, 80: 1.9369e-4, 100: 1.8826e-4, 500: 2.1872e-9, 1000: 1.9874e-4}
EARLY = {10: 7.2e-5, 25: 1.92e-4, 50: 7.8853e-7, 80: 1.8763e-4, 100: 7.8853e-7}


def published(steps: int, wanted: int, monkeypatch) -> list[float]:
    """What accelerate's own scheduler does in each of two processes, step by step."""
    monkeypatch.setattr(accelerate.scheduler, "AcceleratorState", lambda: SimpleNamespace(num_processes=2))
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_cosine_schedule_with_warmup(optimizer, WARM_UP, steps)
    prepared = AcceleratedScheduler(scheduler, SimpleNamespace(step_was_skipped=False))
    prepared.gradient_state = SimpleNamespace(sync_gradients=True, adjust_scheduler=True)
    rates = []
    for _ in range(wanted):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        prepared.step()
    return rates


def spec(steps: int, **recipe) -> TrainSpec:
    settings = {"training__default__learning_rate": PEAK, "training__default__warmup_steps": WARM_UP}
    settings |= {f"training__default__{name}": value for name, value in recipe.items()}
    schedule = {"schedules__short": {"max_steps": steps, "checkpoints": [steps]}}
    return train_spec(**settings, **schedule, schedules__long__max_steps=steps, schedules__long__checkpoints=[steps])


@pytest.mark.parametrize(("steps", "expected"), [(1000, FULL), (100, EARLY)], ids=["full", "early"])
def test_rates_are_those_of_the_published_runs(steps: int, expected: dict[int, float], monkeypatch):
    rates = learning_rates(spec(steps, scheduler_steps_per_step=2).training, steps)
    assert rates == pytest.approx(published(steps, steps, monkeypatch), rel=1e-12)
    for step, rate in expected.items():
        assert rates[step - 1] == pytest.approx(rate, rel=1e-4), step


def test_as_written_a_cosine_ends_with_training():
    rates = learning_rates(spec(1000).training, 1000)
    for step in (10, 25, 50, 80, 100, 500, 1000):
        done = step - 1
        cosine = 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1000 - WARM_UP)))
        assert rates[step - 1] == pytest.approx(PEAK * (done / WARM_UP if done < WARM_UP else cosine), rel=1e-9)
    assert rates[-1] == pytest.approx(5.5e-10, rel=0.01)


def test_neutral_where_it_is_not_used():
    """A recipe without it has the spec that it had before, and so nothing is trained again."""
    assert "scheduler_steps_per_step" not in spec(1000).model_dump_json()
    assert spec(1000, scheduler_steps_per_step=1) == spec(1000)
    assert spec(1000, scheduler_steps_per_step=2).digest() != spec(1000).digest()
    with pytest.raises(ValueError, match="scheduler_steps_per_step"):
        load(edited(CONFIG, training__default__scheduler_steps_per_step=0))


def test_the_trainer_takes_them_also_after_an_interruption(tmp_path: Path, model_folder: Path, splits, monkeypatch):
    """Six steps, of which the last ones are on their way up again."""
    setup = Setup(tmp_path, model_folder, splits[0], training__default__scheduler_steps_per_step=2)
    whole = setup.trainer("sft")
    rates = [whole.step(step)["lr"] for step in range(1, 7)]
    assert rates == pytest.approx(learning_rates(whole.spec.training, 6)) and rates[-1] > rates[3]
    resumed = setup.trainer("sft")
    monkeypatch.setattr("fewshot_distillation.student.trainer.load_state", lambda *_: (4, []))
    resumed.resume(tmp_path)
    assert [resumed.step(step)["lr"] for step in (5, 6)] == pytest.approx(rates[4:])
