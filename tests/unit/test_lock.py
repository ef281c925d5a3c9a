"""One owner at a time, whoever dies."""

import errno
import multiprocessing
import os
import re
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fewshot_distillation.runtime import lock as locks
from fewshot_distillation.runtime.lock import Lock, described, look, this_host

FORK = multiprocessing.get_context("fork")


def hold(path: Path, taken, release) -> None:
    lock = Lock(path)
    lock.acquire()
    taken.set()
    release.wait(30)
    lock.release()


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


def forged(path: Path, **changes: str) -> None:
    """Write other fields into the claim, into the same file."""
    text = path.read_text()
    for field, value in changes.items():
        text = re.sub(rf"^{field}=.*$", f"{field}={value}", text, flags=re.M)
    path.write_text(text)


def test_a_free_lock_is_taken_and_given_back(tmp_path: Path):
    first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert first.acquire(wait=False) and first.held() and not second.acquire(wait=False) and not second.held()
    assert described(second.owner) == f"process {os.getpid()} on {this_host().partition('?')[0]}"
    first.release()
    assert second.acquire(wait=False) and not first.acquire(wait=False)
    second.release()
    assert not list(tmp_path.iterdir()) and second.owner is None and described(None) == "another process"


def test_a_dead_owner_of_this_machine_is_seen_at_once(tmp_path: Path, holder):
    assert not Lock(tmp_path / "lock").acquire(wait=False)
    holder.kill()
    holder.join()
    lock = Lock(tmp_path / "lock")
    assert lock.acquire(wait=False) and lock.held()


def test_another_process_with_the_same_number_is_not_the_owner(tmp_path: Path, holder):
    """It began at another time, or this machine has been started again since."""
    text = (tmp_path / "lock").read_text()
    (start,) = re.findall(r"^start=(\d+)$", text, re.M)
    forged(tmp_path / "lock", start=str(int(start) + 1))
    assert Lock(tmp_path / "lock").acquire(wait=False)


@pytest.mark.parametrize("host", ["elsewhere", f"{this_host().partition('?')[0]}?pidns-1"])
def test_processes_of_another_machine_or_container_are_not_seen(tmp_path: Path, holder, host: str):
    forged(tmp_path / "lock", host=host)
    holder.kill()
    holder.join()
    assert not Lock(tmp_path / "lock").acquire(wait=False)


@pytest.fixture
def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder) -> Path:
    """The lock of an owner on another machine, who is silent from here on but for what a test does."""
    monkeypatch.setattr(locks, "STALE", 0.6)
    monkeypatch.setattr(locks, "BEAT", 0.1)
    os.kill(holder.pid, signal.SIGSTOP)
    forged(tmp_path / "lock", host="elsewhere", duration="0.6")
    return tmp_path / "lock"


def test_an_owner_elsewhere_is_dead_when_it_is_silent(far: Path):
    waiting = Lock(far)
    start = time.monotonic()
    while time.monotonic() - start < 1.2:
        assert not waiting.acquire(wait=False), "it lives as long as it touches its claim"
        os.utime(far)
        time.sleep(0.05)
    start = time.monotonic()
    assert waiting.acquire()
    assert 0.5 < time.monotonic() - start < 5


def test_a_watcher_that_was_held_up_has_not_seen_silence(far: Path):
    """A file system that is away keeps the owner from touching its claim and the watcher from looking."""
    waiting = Lock(far)
    for _ in range(3):
        assert not waiting.acquire(wait=False)
        time.sleep(0.7)


def test_taking_over_from_elsewhere_waits_for_a_sign_of_life(far: Path):
    threading.Timer(0.3, os.utime, [far]).start()
    start = time.monotonic()
    assert not Lock(far).take_over()
    assert 0.2 < time.monotonic() - start < 0.6, "it is seen to live"
    start = time.monotonic()
    second = Lock(far)
    assert second.take_over() and second.held()
    assert time.monotonic() - start > 0.5


def test_a_living_owner_of_this_machine_is_not_waited_for(tmp_path: Path, holder):
    start = time.monotonic()
    assert not Lock(tmp_path / "lock").take_over()
    assert time.monotonic() - start < 2


def test_an_owner_whose_parent_never_collects_it_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holder):
    """As in a container whose first process doesn't collect its children."""
    monkeypatch.setattr(locks, "STALE", 0.6)
    monkeypatch.setattr(locks, "BEAT", 0.1)
    forged(tmp_path / "lock", duration="0.6")
    assert look(tmp_path / "lock")
    os.kill(holder.pid, signal.SIGKILL)
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # and leaves its exit status
    assert not look(tmp_path / "lock")
    lock = Lock(tmp_path / "lock")
    assert lock.take_over() and lock.held()


@pytest.mark.parametrize(("error", "runs"), [(ProcessLookupError, False), (PermissionError, True)])
def test_an_owner_that_ends_or_hides_while_it_is_looked_at(tmp_path: Path, monkeypatch, holder, error, runs: bool):
    def read_text(_path: Path) -> str:
        raise error

    monkeypatch.setattr(locks.Path, "read_text", read_text)
    assert locks._runs(SimpleNamespace(pid=holder.pid)) is runs


def test_a_clock_that_is_wrong_kills_nobody(tmp_path: Path, holder):
    forged(tmp_path / "lock", host="elsewhere")
    os.utime(tmp_path / "lock", (0, 0))
    assert not Lock(tmp_path / "lock").acquire(wait=False)


def take_over(path: Path, start, won) -> None:
    lock = Lock(path)
    start.wait()
    if lock.take_over():  # not `acquire(wait=False)`: where several try at once, each may find another's attempt
        won.put(os.getpid())
        time.sleep(30)


def abandon(path: Path) -> None:
    lock = Lock(path)
    lock.acquire()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("exchange", [True, False], ids=["exchange", "rename"])
def test_only_one_of_many_takes_over_from_a_dead_owner(tmp_path: Path, monkeypatch, exchange: bool):
    """Repeated, as the moment in which two could collide is short; network file systems can't exchange two names."""
    if not exchange:
        monkeypatch.setattr("filelock._soft.exchange_supported", lambda: False)
    for attempt in range(10):
        path = tmp_path / f"lock{attempt}"
        dead = FORK.Process(target=abandon, args=(path,))
        dead.start()
        dead.join()
        assert path.exists()
        start, won = FORK.Barrier(6), FORK.Queue()
        processes = [FORK.Process(target=take_over, args=(path, start, won)) for _ in range(6)]
        for process in processes:
            process.start()
        winner = won.get(timeout=20)
        time.sleep(0.15)
        assert won.empty()
        assert Lock(path).owner.pid == winner
        for process in processes:
            process.kill()
            process.join()


def sleeper(path: Path, taken, note: Path) -> None:
    locks.BEAT = 0.1
    locks.log.error = lambda text, reason: note.write_text(reason)
    lock = Lock(path)
    lock.acquire()
    taken.set()
    time.sleep(30)


def test_an_owner_that_was_taken_for_dead_ends(tmp_path: Path):
    """As when its machine slept: it must not go on beside the one that took over."""
    taken, note = FORK.Event(), tmp_path / "note"
    process = FORK.Process(target=sleeper, args=(tmp_path / "lock", taken, note))
    process.start()
    assert taken.wait(20)
    (tmp_path / "other").write_text((tmp_path / "lock").read_text())
    os.replace(tmp_path / "other", tmp_path / "lock")
    process.join(20)
    assert process.exitcode == 75 and "another process took this work over" in note.read_text()


def test_an_owner_that_lost_the_lock_takes_nothing_from_the_next(tmp_path: Path):
    first = Lock(tmp_path / "lock")
    assert first.acquire()
    forged(tmp_path / "lock", token="another")
    assert not first.held()
    (tmp_path / "other").write_text((tmp_path / "lock").read_text())
    os.replace(tmp_path / "other", tmp_path / "lock")
    first.release()
    assert (tmp_path / "lock").exists()


def test_an_owner_ends_when_what_it_watches_says_so(tmp_path: Path):
    def watcher() -> None:
        locks.BEAT = 0.1
        lock = Lock(tmp_path / "lock", watch=lambda: "enough")
        lock.acquire()
        time.sleep(30)

    process = FORK.Process(target=watcher)
    process.start()
    process.join(20)
    assert process.exitcode == 75


def test_a_file_system_that_is_away_for_a_while_ends_nobody(tmp_path: Path, monkeypatch):
    """Errors of touching are borne for almost as long as it takes another to take over."""
    monkeypatch.setattr(locks, "BEAT", 0.1)
    monkeypatch.setattr(locks, "STALE", 3.0)
    ended = []
    monkeypatch.setattr(locks, "end_process", ended.append)
    lock = Lock(tmp_path / "lock")
    assert lock.acquire()
    away = OSError(errno.ESTALE, "Stale file handle")
    monkeypatch.setattr("filelock._lease.touch", lambda *a, **k: (_ for _ in ()).throw(away))
    time.sleep(1)
    assert not ended
    time.sleep(4)
    assert len(ended) == 1 and "Stale file handle" in ended[0]
