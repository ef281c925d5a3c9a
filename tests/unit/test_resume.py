"""A run that was interrupted ends in the same bytes as one that wasn't."""

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from fewshot_distillation.errors import JobError
from fewshot_distillation.runtime.files import sha256
from fewshot_distillation.student.state import load_state, save_state
from fewshot_distillation.student.trainer import Trainer
from training import Setup, adapter_of, interrupted

CONDITIONS = ["sft", "layerwise", "logit_kl"]


@pytest.fixture(scope="module")
def setup(tmp_path_factory, model_folder: Path, splits) -> Setup:
    return Setup(tmp_path_factory.mktemp("setup"), model_folder, splits[0])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, setup: Setup) -> dict[str, Path]:
    """A finished run of each condition, with dropout."""
    return {name: setup.train(name, tmp_path_factory.mktemp(name)) for name in CONDITIONS}


def digests(run: Path) -> dict[str, str]:
    return {str(p.relative_to(run)): sha256(p) for p in sorted((run / "checkpoints").rglob("*")) if p.is_file()}


def metrics(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "metrics.csv").drop(columns="tokens_per_second")


@pytest.mark.parametrize("condition", CONDITIONS)
def test_three_steps_and_three_more_are_six(setup: Setup, tmp_path: Path, condition: str):
    """Bit by bit, with dropout."""
    expected, rows = interrupted(setup, tmp_path, condition, 3, 6)
    assert rows == expected


def test_the_optimizer_s_memory_matters(setup: Setup, tmp_path: Path):
    """Without it the test above would pass with weights alone, so this shows that it can fail."""
    whole, first = setup.trainer("sft"), setup.trainer("sft")
    for step in range(1, 5):
        whole.step(step)
    for step in range(1, 4):
        first.step(step)
    save_state(tmp_path, 3, first.student, first.optimizer.optimizer, [])
    second = setup.trainer("sft")
    second.resume(tmp_path)
    second.optimizer.optimizer.state.clear()
    second.step(4)
    assert not torch.equal(adapter_of(second), adapter_of(whole))


def test_saved_states(setup: Setup, tmp_path: Path):
    """The newest one counts, older ones are dropped, and an unfinished one is as good as none."""
    trainer = setup.trainer("sft")
    assert load_state(tmp_path, trainer.student, trainer.optimizer.optimizer) == (0, [])
    trainer.step(1)
    for step in (9, 10):
        save_state(tmp_path, step, trainer.student, trainer.optimizer.optimizer, [{"step": step}])
    (tmp_path / ".step-00000011").mkdir()
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-00000010"]
    assert load_state(tmp_path, trainer.student, trainer.optimizer.optimizer) == (10, [{"step": 10}])


def test_a_state_of_another_adapter(setup: Setup, tmp_path: Path):
    trainer = setup.trainer("sft")
    trainer.step(1)
    save_state(tmp_path, 1, trainer.student, trainer.optimizer.optimizer, [])
    smaller = setup.trainer("sft", training__default__lora__target_modules=["q_proj"])
    with pytest.raises(ValueError, match="weights that the model doesn't have"):
        smaller.resume(tmp_path)


def interrupt_at(step_number: int, patch: pytest.MonkeyPatch) -> list[int]:
    """Raise where a step begins; the numbers of all steps that begin."""
    begun, step = [], Trainer.step

    def failing(self: Trainer, number: int):
        begun.append(number)
        if number == step_number:
            raise KeyboardInterrupt
        return step(self, number)

    patch.setattr(Trainer, "step", failing)
    return begun


def test_steps_with_other_prompts_are_not_taken_up(setup: Setup, undisturbed, tmp_path: Path):
    """Whatever changed them: what was saved is kept for the prompts that it was learned from."""
    other = {"prompt": {"question": "Question: {question}"}}
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            setup.train("sft", tmp_path, save_state_every=1, **other)
    with pytest.MonkeyPatch.context() as patch:
        begun = interrupt_at(99, patch)
        run = setup.train("sft", tmp_path, save_state_every=1)
    assert begun == [1, 2, 3, 4, 5, 6]
    assert digests(run) == digests(undisturbed["sft"])


@pytest.mark.parametrize(("condition", "every", "resumed"), [("sft", 1, 4), ("layerwise", 2, 4), ("logit_kl", 50, 4)])
def test_interrupted_in_step_four(setup: Setup, undisturbed, tmp_path: Path, condition: str, every: int, resumed: int):
    """Nothing is published before the end; checkpoints are saved states too, so step 4 is the first to be repeated."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(4, patch)
        with pytest.raises(KeyboardInterrupt):
            setup.train(condition, tmp_path, every)
    assert not (tmp_path / "run").exists()
    with pytest.MonkeyPatch.context() as patch:
        begun = interrupt_at(0, patch)
        run = setup.train(condition, tmp_path, every)
    assert begun == list(range(resumed, 7))
    assert digests(run) == digests(undisturbed[condition])
    pd.testing.assert_frame_equal(metrics(run), metrics(undisturbed[condition]), check_exact=True)


def test_interrupted_between_saved_states(setup: Setup, undisturbed, tmp_path: Path):
    """In step 3, with a state after step 2: steps 1 and 2 aren't repeated."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(3, patch)
        with pytest.raises(KeyboardInterrupt):
            setup.train("sft", tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        begun = interrupt_at(0, patch)
        run = setup.train("sft", tmp_path)
    assert begun == [3, 4, 5, 6] and digests(run) == digests(undisturbed["sft"])


def test_a_finished_run_is_not_trained_again(setup: Setup, tmp_path: Path):
    run = setup.train("sft", tmp_path)
    before = digests(run)
    for path in (run / "checkpoints").rglob("*.safetensors"):
        path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        begun = interrupt_at(0, patch)
        setup.train("sft", tmp_path)
    assert begun == [] and digests(run) == before


def test_two_runs_give_the_same_bytes(setup: Setup, undisturbed, tmp_path: Path):
    again = digests(setup.train("layerwise", tmp_path))
    assert again == digests(undisturbed["layerwise"])
    files = ("adapter_model.safetensors", "adapter_config.json")
    adapters = {f"checkpoint-{n}/{file}" for n in (3, 6) for file in files}
    assert set(again) == {f"checkpoints/{name}" for name in adapters | {"manifest.json"}}


def test_adapter_configuration_names_no_machine(undisturbed, model_folder: Path):
    text = (undisturbed["sft"] / "checkpoints" / "checkpoint-6" / "adapter_config.json").read_text()
    config = json.loads(text)
    assert config["base_model_name_or_path"] == "tiny" and str(model_folder) not in text
    assert config["target_modules"] == sorted(config["target_modules"]) and config["r"] == 4


COMMON = ["step", "loss", "ce", "lr", "grad_norm", "tokens_per_second"]
TEACHER = ["distillation", "weighted_over_ce"]
COLUMNS = {
    "sft": COMMON,
    "layerwise": [*COMMON, *TEACHER, "cosine_layer_0", "cosine_layer_1"],
    "logit_kl": [*COMMON, *TEACHER],
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_columns_of_the_metrics(undisturbed, condition: str):
    table = pd.read_csv(undisturbed[condition] / "metrics.csv")
    assert set(table) == set(COLUMNS[condition]) and list(table["step"]) == list(range(1, 7))
    assert table.notna().all(axis=None)
    cosines = table.filter(like="cosine_layer_")
    assert ((cosines > -1.0001) & (cosines < 1.0001)).all(axis=None)


def test_cosines_carry_the_numbers_of_their_layers(setup: Setup, tmp_path: Path):
    run = setup.train("layerwise", tmp_path, conditions__layerwise__layers=[1])
    assert [c for c in pd.read_csv(run / "metrics.csv") if c.startswith("cosine")] == ["cosine_layer_1"]


def test_cut_answers_are_counted(setup: Setup, undisturbed, tmp_path: Path):
    def manifest(run: Path) -> dict:
        return json.loads((run / "checkpoints" / "manifest.json").read_text())

    assert manifest(undisturbed["sft"])["truncated"] == 0
    lengths = [len(example.sequence.ids) for example in setup.trainer("sft").streams.all]
    limit = max(lengths) - 1
    run = setup.train("sft", tmp_path, training__default__max_tokens=limit)
    found = manifest(run)
    assert found.pop("prompts") != manifest(undisturbed["sft"])["prompts"]
    assert found | {"files": None} == {
        "examples": 12, "truncated": sum(n > limit for n in lengths), "dropped": 0, "files": None
    }  # fmt: skip
    assert manifest(run)["truncated"] > 0


def test_manifest_lists_every_adapter(undisturbed):
    folder = undisturbed["sft"] / "checkpoints"
    files = json.loads((folder / "manifest.json").read_text())["files"]
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(files) == found and all(sha256(folder / name) == entry["sha256"] for name, entry in files.items())


def test_training_without_trackers(setup: Setup, undisturbed, tmp_path: Path):
    """`trackers: []` is a valid setting, and no result depends on it."""
    run = setup.train("sft", tmp_path, trackers=())
    assert digests(run) == digests(undisturbed["sft"])


def test_a_tracker_that_is_not_installed(setup: Setup, tmp_path: Path):
    missing = [name for name in ("mlflow", "wandb") if importlib.util.find_spec(name) is None]
    if not missing:
        pytest.skip("all trackers are installed")
    with pytest.raises(JobError, match=f"trackers: {missing[0]} isn't installed"):
        setup.train("sft", tmp_path, trackers=(missing[0],))


def test_tensorboard_has_every_step_once(setup: Setup, undisturbed, tmp_path: Path):
    """Also after an interruption: steps that were logged before it but not saved are logged again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(6, patch)
        with pytest.raises(KeyboardInterrupt):
            setup.train("sft", tmp_path, save_state_every=50)
    run = setup.train("sft", tmp_path, save_state_every=50)
    events = EventAccumulator(str(next((run / "tensorboard").rglob("events*")).parent))
    events.Reload()
    steps = [(scalar.step, scalar.value) for scalar in events.Scalars("ce")]
    table = metrics(undisturbed["sft"])
    assert [step for step, _ in steps] == list(table["step"])
    assert [value for _, value in steps] == pytest.approx(list(table["ce"]), rel=1e-5)
