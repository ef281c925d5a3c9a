"""Unfinished work is kept, finished work is published whole, and nobody does the same work twice at once."""

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from fewshot_distillation.runtime.files import atomic_path, folder_digests, sha256, write_json, write_text
from fewshot_distillation.runtime.workspace import Workspace, remove_finished


def workspace(folder: Path, key: str = "a") -> Workspace:
    outputs = {"table": folder / "out" / "table.csv", "model": folder / "out" / "model"}
    return Workspace(folder / "state" / "job" / "1", outputs, {"key": key})


def do(folder: Path, key: str = "a", text: str = "result") -> bool:
    """Do the work if there is any; whether there was."""
    work = workspace(folder, key)
    with work.opened() as unfinished:
        if unfinished:
            work["table"].write_text(text)
            (work["model"] / "deep").mkdir(parents=True, exist_ok=True)
            (work["model"] / "deep" / "weights").write_text(text)
        return unfinished


def content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


WHOLE = {"model/deep/weights": "result", "table.csv": "result"}


def test_outputs_are_published(tmp_path: Path):
    assert do(tmp_path) and content(tmp_path / "out") == WHOLE


def test_nothing_is_published_before_the_end(tmp_path: Path):
    work = workspace(tmp_path)
    with pytest.raises(KeyboardInterrupt), work.opened():
        work["table"].write_text("result")
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists() and work["table"].read_text() == "result"


def test_unfinished_work_is_found_again(tmp_path: Path):
    for attempt in range(2):
        work = workspace(tmp_path)
        with pytest.raises(KeyboardInterrupt), work.opened() as unfinished:
            assert unfinished
            notes = work.folder / "notes"
            notes.write_text((notes.read_text() if notes.exists() else "") + str(attempt))
            raise KeyboardInterrupt
    assert notes.read_text() == "01"


def test_outputs_are_put_back_when_the_driver_forgot(tmp_path: Path):
    """It deletes the outputs of a job of whose success it never heard, and starts the job again."""
    do(tmp_path)
    (tmp_path / "out" / "table.csv").unlink()
    (tmp_path / "out" / "model" / "deep" / "weights").unlink()
    assert not do(tmp_path, text="never written")
    assert content(tmp_path / "out") == WHOLE


def test_deleting_a_published_file_does_not_touch_the_saved_one(tmp_path: Path):
    """They are two names of one file, so a rewrite in place would reach both; programs always write anew."""
    do(tmp_path)
    write_text(tmp_path / "out" / "table.csv", "edited")
    assert not do(tmp_path)
    assert content(tmp_path / "out") == WHOLE


def test_a_torn_saved_output_is_noticed(tmp_path: Path):
    do(tmp_path)
    saved = workspace(tmp_path)["table"]
    os.unlink(saved)
    saved.write_text("resul")
    assert do(tmp_path, text="again")
    assert (tmp_path / "out" / "table.csv").read_text() == "again"


def test_a_missing_saved_output_is_noticed(tmp_path: Path):
    do(tmp_path)
    (workspace(tmp_path)["model"] / "deep" / "weights").unlink()
    assert do(tmp_path, text="again")
    assert content(tmp_path / "out") == dict.fromkeys(WHOLE, "again")


def test_another_key_starts_over(tmp_path: Path):
    do(tmp_path)
    (workspace(tmp_path).folder / "shard").write_text("of the old key")
    assert do(tmp_path, key="b", text="new")
    assert not (workspace(tmp_path).folder / "shard").exists()
    assert content(tmp_path / "out") == dict.fromkeys(WHOLE, "new")


def test_a_torn_key_starts_over(tmp_path: Path):
    """Written by rename, so it is whole or missing, unless a disk was full."""
    do(tmp_path)
    (workspace(tmp_path).folder / "key.json").unlink()
    assert do(tmp_path, text="again")


def test_an_output_that_was_not_written(tmp_path: Path):
    """Nothing counts as finished then, so the next attempt does the work."""
    work = workspace(tmp_path)
    with pytest.raises(FileNotFoundError, match="the job did not write model"), work.opened():
        work["table"].write_text("result")
    assert not (tmp_path / "out").exists() and do(tmp_path)


def test_what_a_killed_publication_left_is_cleaned_up(tmp_path: Path):
    do(tmp_path)
    (tmp_path / "out" / ".model.0123abcd").mkdir()
    (tmp_path / "out" / ".table.csv.0123abcd").write_text("half")
    do(tmp_path)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["model", "table.csv"]


def test_a_folder_is_replaced_whole(tmp_path: Path):
    """Files that an older version had are gone."""
    old = tmp_path / "out" / "model"
    old.mkdir(parents=True)
    (old / "left over").write_text("old")
    do(tmp_path)
    assert content(tmp_path / "out") == WHOLE
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["model", "table.csv"]


def test_partial_work_is_dropped_once_it_is_done(tmp_path: Path):
    work = workspace(tmp_path)
    with work.opened():
        (work.folder / "shards").mkdir()
        (work.folder / "shards" / "1").write_text("partial")
        work["table"].write_text("result")
        work["model"].mkdir()
    assert {p.name for p in work.folder.iterdir()} == {"outputs", "key.json", "finished.json", "published.json"}


def slow_worker(folder: Path, started, release) -> None:
    with workspace(folder).opened() as unfinished:
        work = workspace(folder)
        work["table"].write_text("first process")
        work["model"].mkdir()
        started.set()
        release.wait(20)
        assert unfinished


def waiting_worker(folder: Path, results) -> None:
    results.put(do(folder))


def test_a_second_process_waits_and_then_finds_the_work_done(tmp_path: Path):
    """A driver that was killed and started again submits a job whose first copy still runs."""
    context = multiprocessing.get_context("fork")
    started, release, results = context.Event(), context.Event(), context.Queue()
    first = context.Process(target=slow_worker, args=(tmp_path, started, release))
    second = context.Process(target=waiting_worker, args=(tmp_path, results))
    first.start()
    assert started.wait(20)
    second.start()
    time.sleep(0.3)
    assert second.is_alive() and results.empty() and not (tmp_path / "out").exists()
    release.set()
    assert results.get(timeout=20) is False
    first.join(20)
    second.join(20)
    assert first.exitcode == second.exitcode == 0
    assert (tmp_path / "out" / "table.csv").read_text() == "first process"


def test_a_process_that_died_holds_no_lock(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    started, release = context.Event(), context.Event()
    first = context.Process(target=slow_worker, args=(tmp_path, started, release))
    first.start()
    assert started.wait(20)
    first.kill()
    first.join(20)
    work = workspace(tmp_path)
    with work.opened() as unfinished:
        assert unfinished and work["table"].read_text() == "first process"


def test_finished_work_is_removed_and_unfinished_work_kept(tmp_path: Path):
    do(tmp_path)
    other = Workspace(tmp_path / "state" / "other" / "2", {"table": tmp_path / "x"}, {})
    with pytest.raises(KeyboardInterrupt), other.opened():
        raise KeyboardInterrupt
    remove_finished(tmp_path / "state", {"another/output"})
    assert (tmp_path / "state" / "job" / "1").is_dir(), "a driver that died may not have noted it as done"
    remove_finished(tmp_path / "state", {str(tmp_path / "out" / "model" / "manifest.json")})
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == ["other"]
    assert other.folder.is_dir() and content(tmp_path / "out") == WHOLE


def test_nothing_is_left_when_all_is_finished(tmp_path: Path):
    do(tmp_path)
    for _ in range(2):
        remove_finished(tmp_path / "state", {str(tmp_path / "out" / "table.csv")})
    assert not (tmp_path / "state").exists()


def test_an_atomic_file_appears_whole(tmp_path: Path):
    path = tmp_path / "new folder" / "a.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists() and temporary.suffix == ".txt"
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_digests_of_a_folder(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    write_json(tmp_path / "deep" / "a.json", {"é": 1})
    found = folder_digests(tmp_path)
    assert found == {"deep/a.json": {"bytes": 14, "sha256": sha256(tmp_path / "deep" / "a.json")}}
