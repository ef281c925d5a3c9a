"""Which jobs in a queue belong to drivers that are gone."""

import datetime
import json
import time
from pathlib import Path

import pytest

from fewshot_distillation.errors import JobError
from fewshot_distillation.runtime.driver import Driver
from fewshot_distillation.status import orphans as module
from fewshot_distillation.status.orphans import orphans


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Jobs by number and age in seconds; one of another folder and one of another program are always there."""

    def put(**ages: float) -> None:
        def line(number: str, age: float, comment: str = "rule_train_wildcards_tiny", folder: Path = tmp_path) -> str:
            submitted = datetime.datetime.fromtimestamp(time.time() - age).isoformat(timespec="seconds")
            return f"{number}|PENDING|{submitted}||{comment}|{folder}"

        lines = [line(number, age) for number, age in ages.items()]
        lines += [line("8", 99, folder=Path("/elsewhere")), line("9", 99, comment="my own job")]
        monkeypatch.setattr(module, "_run", lambda *command: "\n".join(lines))

    monkeypatch.setenv("FEWSHOT_DISTILLATION_DRIVER", "")
    return put


def numbers(tmp_path: Path) -> list[str]:
    return [job.number for job in orphans(tmp_path)]


def test_after_a_driver_all_jobs_of_the_folder_are_orphans(queue, tmp_path: Path):
    queue(a=50, b=0)
    driver = Driver(tmp_path / "results" / ".state")
    assert driver.take() is None
    driver.release()
    assert numbers(tmp_path) == ["a", "b"]


def test_jobs_of_a_driver_that_was_not_found_are_nobodys_to_cancel(queue, tmp_path: Path):
    """It may be at work, in a results folder elsewhere."""
    driver = Driver(tmp_path / "far/far/away/.state")
    assert driver.take() is None
    queue(before=50, later=-5)
    with pytest.raises(JobError, match="2 jobs were submitted from .* name their results folder"):
        numbers(tmp_path)
    assert [job.number for job in orphans(tmp_path, tmp_path / "far/far/away")] == ["before"]
    with pytest.raises(JobError, match="no trace"):
        orphans(tmp_path, tmp_path / "elsewhere")
    driver.release()


def test_a_folder_of_old_results_does_not_hide_who_works_beside_it(queue, tmp_path: Path):
    old, driver = Driver(tmp_path / "results_rehearsal" / ".state"), Driver(tmp_path / "results" / ".state")
    assert old.take() is None
    old.release()
    assert driver.take() is None
    queue(before=50, later=-5)
    assert [job.number for job in orphans(tmp_path, tmp_path / "results_rehearsal")] == ["before"]
    driver.release()


def test_an_empty_queue_has_no_orphans(queue, tmp_path: Path):
    queue()
    assert not numbers(tmp_path)


@pytest.mark.parametrize("results", ["results", "results_rehearsal", "elsewhere/out"])
def test_a_driver_keeps_its_own_jobs_in_whatever_results_folder(queue, tmp_path: Path, results: str):
    driver = Driver(tmp_path / results / ".state")
    assert driver.take() is None
    queue(before=50, just=0, later=-5)
    assert numbers(tmp_path) == ["before"]
    driver.release()
    assert numbers(tmp_path) == ["before", "just", "later"]
    assert json.loads((tmp_path / results / ".state/driver.json").read_text())["since"] <= time.time()
