"""What a driver hands down to its jobs, and how a job sees that another driver has taken its driver's place."""

import json
import multiprocessing
import os
import re
from pathlib import Path

import pytest

from fewshot_distillation.config.digests import SCRIPTS, program_digests, rule_digests
from fewshot_distillation.config.specs import TrainSpec
from fewshot_distillation.errors import JobError
from fewshot_distillation.hardware.gpus import ON_CLUSTER, check_gpus
from fewshot_distillation.runtime import plans
from fewshot_distillation.runtime.cli import job
from fewshot_distillation.runtime.driver import Driver
from fewshot_distillation.runtime.files import write_text
from fewshot_distillation.runtime.workspace import Workspace, remove_finished


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch):
    for name in (
        plans.PLANS,
        plans.DRIVER,
        ON_CLUSTER,
        plans.REFUSAL,
        "SLURM_JOB_ID",
        "CUDA_VISIBLE_DEVICES",
    ):
        monkeypatch.setenv(name, "")  # put back afterwards, whatever a test sets
        monkeypatch.delenv(name)


def begin(state: Path, settings: str = "a") -> str | None:
    """A driver that is killed later: its lock is free, its note stays."""
    plans.hand_down("study", {"config": settings}, state)
    one = Driver(state)
    reason = one.take()
    if reason is None:
        one.release()
    return reason


def test_a_folder_that_cannot_be_made():
    assert begin(Path("/proc/nowhere/.state")).startswith("results: can't write to '/proc/nowhere' (")


def test_jobs_get_what_the_driver_has_read(tmp_path: Path):
    assert plans.submitted("study") is None
    plans.hand_down("study", {"config": {"λ": [0.5, None]}}, tmp_path)
    plans.hand_down("other use", {"config": 2}, tmp_path)
    assert plans.submitted("study") == {"config": {"λ": [0.5, None]}}
    assert plans.submitted("other use") == {"config": 2}
    plans.hand_down("study", {"config": {"conditions": {"sft": 1, "layerwise": 2}}}, tmp_path)
    assert list(plans.submitted("study")["config"]["conditions"]) == ["sft", "layerwise"], "as written, so are legends"


def test_edited_code_is_named():
    assert plans.edited({"a.py": "1", "b.py": "2"}, {"a.py": "1"}) is None
    assert plans.edited({"a.py": "1"}, {"a.py": "2"}).startswith("a.py was edited after this job had been submitted;")


def test_a_program_that_must_not_work_says_why(monkeypatch: pytest.MonkeyPatch):
    """Before it reads the command line, which edited code may not understand."""
    plans.refuse(None)
    assert plans.refusal() is None
    plans.refuse("train.py was edited")
    plans.refuse("and another")
    monkeypatch.setattr("sys.argv", ["train.py", "--unheard-of"])
    with pytest.raises(SystemExit, match="^error: train.py was edited$"), job("", TrainSpec, {}):
        pytest.fail("it works")


def test_a_program_does_not_work_without_the_driver_s_hold_on_the_results_folder(tmp_path: Path):
    """Without hooks, say, or where another Snakefile uses this one and doesn't call its handlers."""
    plans.hand_down("study", {"config": 1}, tmp_path / "results" / ".state")
    assert f"the driver has not taken {tmp_path / 'results'}; don't start it with --no-hooks" in plans.refusal()
    driver = Driver(tmp_path / "results" / ".state")
    driver.take()
    assert plans.refusal() is None
    driver.release()


def test_digests_cover_what_is_run():
    rules, code = rule_digests(), program_digests()
    assert {"Snakefile", "rules/train.smk", "scripts/fewshot_distillation/config/specs.py"} <= set(rules)
    assert set(program_digests("train.py", "student.losses.hidden_states.layerwise")) < set(code)
    assert "scripts/fewshot_distillation/student/losses/hidden_states/layerwise.py" in program_digests(
        "train.py", "student.losses.hidden_states.layerwise"
    )
    assert len(code) == len([*SCRIPTS.glob("*.py"), *SCRIPTS.glob("fewshot_distillation/**/*.py")])


def test_a_driver_that_died_on_another_machine_locks_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, seconds in (("STALE", 0.5), ("BEAT", 0.1)):
        monkeypatch.setattr(f"fewshot_distillation.runtime.lock.{name}", seconds)

    def die() -> None:
        driver = Driver(tmp_path)
        driver.take()
        os._exit(0)

    dead = multiprocessing.get_context("fork").Process(target=die)
    dead.start()
    dead.join()
    claim = tmp_path / "driver.lease"
    claim.write_text(re.sub("^host=.*$", "host=login2", claim.read_text(), flags=re.M))
    assert Driver(tmp_path).take() is None


def test_a_second_driver_is_told_who_works(tmp_path: Path):
    first = Driver(tmp_path)
    assert first.take() is None
    assert f"process {os.getpid()} on " in Driver(tmp_path).take()
    first.release()
    assert Driver(tmp_path).take() is None


def test_a_job_of_a_driver_that_was_replaced_does_not_begin(tmp_path: Path, monkeypatch):
    begin(tmp_path)
    assert plans.replaced(tmp_path) is None
    old = os.environ[plans.DRIVER]
    begin(tmp_path)
    assert plans.replaced(tmp_path) is None, "jobs of the new one"
    monkeypatch.setenv(plans.DRIVER, old)
    assert "another has taken over" in plans.replaced(tmp_path)
    assert plans.replaced_by_another_plan() is None, "one that runs may publish: its work is the same"
    monkeypatch.delenv(plans.DRIVER)
    assert plans.replaced(tmp_path) is None, "a program that a person starts"


def test_outputs_of_other_settings_are_kept_back(tmp_path: Path, monkeypatch):
    """The job has ended its work, but somebody changed the settings and started again meanwhile."""
    state = tmp_path / "state"
    begin(state, "old")
    old = os.environ[plans.DRIVER]
    begin(state, "new")
    monkeypatch.setenv(plans.DRIVER, old)
    work = Workspace(state / "train" / "outputs-old", {"table": tmp_path / "table.csv"}, {})
    with pytest.raises(JobError, match="other settings or code"), work.opened():
        work["table"].write_text("old")
    assert not (tmp_path / "table.csv").exists()
    remove_finished(state, {str(tmp_path / "table.csv")})
    assert work["table"].read_text() == "old", "should the old settings come back, it is there"


def test_small_outputs_of_other_settings_are_kept_back_too(tmp_path: Path, monkeypatch):
    """Of programs without unfinished work, such as those that draw."""
    state = tmp_path / "results" / ".state"
    begin(state, "old")
    write_text(tmp_path / "results" / "table.csv", "old")
    old = os.environ[plans.DRIVER]
    begin(state, "new")
    write_text(tmp_path / "results" / "table.csv", "new")
    monkeypatch.setenv(plans.DRIVER, old)
    with pytest.raises(JobError, match="other settings or code"):
        write_text(tmp_path / "results" / "table.csv", "old")
    assert [path.name for path in (tmp_path / "results").glob("*.csv")] == ["table.csv"]
    assert (tmp_path / "results" / "table.csv").read_text() == "new"


def test_one_driver_may_hold_several_results_folders(tmp_path: Path):
    """As when another workflow uses this one as a module twice."""
    for name in ("one", "other"):
        plans.hand_down(name, {"config": name}, tmp_path / name)
    drivers = [Driver(tmp_path / name) for name in ("one", "other")]
    for driver in drivers:
        assert driver.take() is None
    for name in ("one", "other"):
        assert plans.replaced(tmp_path / name) is None
    assert plans.refusal() is None and plans.replaced_by_another_plan() is None
    for driver in drivers:
        driver.release()


def test_jobs_with_the_same_outputs_take_turns_whatever_their_settings(tmp_path: Path):
    from fewshot_distillation.runtime.lock import Lock
    from fewshot_distillation.runtime.workspace import lock_of

    first = Workspace(tmp_path / "train" / "outputs-a", {"table": tmp_path / "table.csv"}, {})
    with first.opened():
        assert not Lock(lock_of(tmp_path / "train" / "outputs-b")).acquire(wait=False)
        first["table"].write_text("a")


@pytest.mark.parametrize(
    ("environment", "requested", "sentence"),
    [
        ({}, 2, None),
        ({"SLURM_JOB_ID": "1"}, 2, None),
        ({ON_CLUSTER: "1"}, 1, None),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0,3"}, 2, None),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0,3"}, 1, None),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1"}, 0, None),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1"}, 1, "requested 1 GPU, CUDA_VISIBLE_DEVICES is not set"),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "3"}, 2, "requested 2 GPUs, sees 1"),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": ""}, 1, "requested 1 GPU, sees 0"),
        ({ON_CLUSTER: "1", "SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, 1, "sees 0"),
    ],
)
def test_requested_gpus(monkeypatch, environment: dict[str, str], requested: int, sentence: str | None):
    monkeypatch.setattr("fewshot_distillation.hardware.gpus.GPU_DRIVERS", ())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if sentence is None:
        check_gpus(requested)
    else:
        with pytest.raises(JobError, match=sentence):
            check_gpus(requested)


def test_gpus_that_pytorch_cannot_use(monkeypatch, tmp_path: Path):
    """The scheduler handed it out and the driver is loaded, but this PyTorch was built without it."""
    import torch

    (tmp_path / "version").touch()
    monkeypatch.setattr("fewshot_distillation.hardware.gpus.GPU_DRIVERS", (str(tmp_path / "version"),))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name, value in {ON_CLUSTER: "1", "SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(JobError, match="PyTorch .* can use 0"):
        check_gpus(1)


def test_the_note_is_plain_json(tmp_path: Path):
    begin(tmp_path)
    assert set(json.loads((tmp_path / "driver.json").read_text())) == {"id", "plan", "since"}
