"""One owner at a time, whoever dies."""

import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from fewshot_distillation.runtime import lock as locks
from fewshot_distillation.runtime.lock import Lock, is_alive, this_process

FORK = multiprocessing.get_context("fork")


def owner_of(folder: Path) -> dict:
    return json.loads(max(folder.glob("[0-9]*")).read_text())


def hold(folder: Path, taken, release) -> None:
    Lock(folder).acquire()
    taken.set()
    release.wait(30)


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that has the lock."""
    taken, release = FORK.Event(), FORK.Event()
    process = FORK.Process(target=hold, args=(tmp_path / "lock", taken, release))
    process.start()
    assert taken.wait(20)
    yield process
    process.kill()
    process.join()


def forged(folder: Path, **changes) -> Path:
    """Make the lock's owner somebody else; the claim."""
    claim = max(folder.glob("[0-9]*"))
    claim.write_text(json.dumps(json.loads(claim.read_text()) | changes))
    return claim


def test_a_free_lock_is_taken_and_given_back(tmp_path: Path):
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire(wait=False) and not second.acquire(wait=False)
    first.release()
    assert second.acquire(wait=False) and not first.acquire(wait=False)
    assert len(list((tmp_path / "lock").iterdir())) == 1, "old claims are cleared away"
    second.remove()
    assert not (tmp_path / "lock").exists()


def test_a_dead_owner_of_this_machine_is_seen_at_once(tmp_path: Path, holder):
    assert not Lock(tmp_path / "lock").acquire(wait=False)
    holder.kill()
    holder.join()
    assert Lock(tmp_path / "lock").acquire(wait=False)


def test_another_process_with_the_same_number_is_not_the_owner(tmp_path: Path):
    owner = this_process()
    assert is_alive(owner)
    assert is_alive(owner | {"started": "1"}) is False
    machine = owner["machine"]
    assert is_alive(owner | {"machine": [machine[0], "before the restart", machine[2]]}) is False
    assert is_alive(owner | {"machine": ["elsewhere", *machine[1:]]}) is None
    assert is_alive(owner | {"machine": [*machine[:2], "pid:[1]"]}) is None, (
        "processes of another container are not seen"
    )


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lock:
    """The lock of an owner on another machine, who is silent from here on but for what a test does."""
    monkeypatch.setattr(locks, "STALE", 0.6)
    monkeypatch.setattr(locks, "BEAT", 0.1)
    far = Lock(tmp_path / "lock")
    assert far.acquire()
    far._stop.set()
    assert forged(far.folder, machine=["elsewhere", "b", "n"]) == far._claim
    return far


def test_an_owner_elsewhere_is_dead_when_its_claim_is_no_longer_touched(tmp_path: Path, far: Lock):
    waiting = Lock(tmp_path / "lock")
    start = time.monotonic()
    while time.monotonic() - start < 1.2:
        assert not waiting.acquire(wait=False), "it lives as long as it is touched"
        os.utime(far._claim)
        time.sleep(0.05)
    start = time.monotonic()
    assert waiting.acquire()
    assert 0.5 < time.monotonic() - start < 5


def test_a_watcher_that_was_held_up_has_not_seen_silence(tmp_path: Path, far: Lock):
    """A file system that is away keeps the owner from touching its claim and the watcher from looking."""
    waiting = Lock(tmp_path / "lock")
    for _ in range(3):
        assert not waiting.acquire(wait=False)
        time.sleep(0.7)


def test_taking_over_from_elsewhere_waits_for_a_sign_of_life(tmp_path: Path, far: Lock):
    threading.Timer(0.3, os.utime, [far._claim]).start()
    start = time.monotonic()
    assert not Lock(tmp_path / "lock").take_over()
    assert 0.2 < time.monotonic() - start < 0.6, "it is seen to live"
    start = time.monotonic()
    second = Lock(tmp_path / "lock")
    assert second.take_over() and second.held()
    assert time.monotonic() - start > 0.5
    assert not far.held()


def test_a_clock_that_is_wrong_kills_nobody(tmp_path: Path, holder):
    claim = forged(tmp_path / "lock", machine=["elsewhere", "b", "n"])
    os.utime(claim, (0, 0))
    assert not Lock(tmp_path / "lock").acquire(wait=False)


def take_over(folder: Path, start, won) -> None:
    start.wait()
    if Lock(folder).acquire(wait=False):
        won.put(os.getpid())
        time.sleep(30)


def test_only_one_of_many_takes_over_from_a_dead_owner(tmp_path: Path):
    """Repeated, as the moment in which two could collide is short."""
    for attempt in range(15):
        folder = tmp_path / f"lock{attempt}"
        dead = FORK.Process(target=lambda folder=folder: Lock(folder).acquire())
        dead.start()
        dead.join()
        start, won = FORK.Barrier(6), FORK.Queue()
        processes = [FORK.Process(target=take_over, args=(folder, start, won)) for _ in range(6)]
        for process in processes:
            process.start()
        winner = won.get(timeout=20)
        time.sleep(0.15)
        assert won.empty()
        assert owner_of(folder)["pid"] == winner
        for process in processes:
            process.kill()
            process.join()


def sleeper(folder: Path, taken, note: Path) -> None:
    locks.BEAT = 0.1
    locks.log.error = lambda text, reason: note.write_text(reason)
    Lock(folder).acquire()
    taken.set()
    time.sleep(30)


def test_an_owner_that_was_taken_for_dead_ends(tmp_path: Path):
    """As when its machine slept: it must not go on beside the one that took over."""
    taken, note = FORK.Event(), tmp_path / "note"
    process = FORK.Process(target=sleeper, args=(tmp_path / "lock", taken, note))
    process.start()
    assert taken.wait(20)
    (tmp_path / "lock" / "000002").write_text(json.dumps(this_process()))
    process.join(20)
    assert process.exitcode == 75 and "another process took this work over" in note.read_text()


def test_an_owner_ends_when_what_it_watches_says_so(tmp_path: Path):
    def watcher() -> None:
        locks.BEAT = 0.1
        Lock(tmp_path / "lock", watch=lambda: "enough").acquire()
        time.sleep(30)

    process = FORK.Process(target=watcher)
    process.start()
    process.join(20)
    assert process.exitcode == 75


@pytest.mark.parametrize("code", locks.NO_LINKS)
def test_without_hard_links(tmp_path: Path, monkeypatch, code: int):
    def refuse(*arguments) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire(wait=False) and not second.acquire(wait=False)
    first.release()
    assert second.acquire(wait=False)


def test_a_link_that_is_reported_as_failed_but_was_made(tmp_path: Path, monkeypatch):
    """A network file system may repeat a request whose answer was lost, and then report that the name is taken."""
    link = os.link

    def made_twice(source, target) -> None:
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", made_twice)
    assert Lock(tmp_path / "lock").acquire(wait=False)
