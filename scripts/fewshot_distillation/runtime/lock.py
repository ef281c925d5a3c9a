"""A lock between processes on any machine that shares a file system, for locks that outlive their owner.

The work is `filelock.SoftFileLease`'s: a file that its owner touches, and that another may take over when the owner's
process is gone (seen at once on its own machine, unless the process's parent never collects it) or hasn't touched it
for `STALE` seconds of the watcher's own clock.
Added here: a watcher that was held up itself begins to watch anew; an owner ends when it has lost the lock, as two must
not do the same work, or when `watch` returns a reason; and `take_over`, for a driver that waits no longer than it must.
"""

import contextlib
import functools
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filelock import LeaseCompromise, OwnerRecord, SoftFileLease, Timeout

log = logging.getLogger("fewshot_distillation")

# Seconds between two touches, and how long without one means death. Network file systems may show a file's time up to
# a minute late.
BEAT, STALE = 10.0, 120.0
LOST = "another process took this work over, because this one appeared to be dead"


def described(owner: OwnerRecord | None) -> str:
    """Name an owner for a person; filelock adds a mark to the host's name in a container."""
    return f"process {owner.pid} on {owner.hostname.partition('?')[0]}" if owner else "another process"


@functools.cache
def this_host() -> str:
    """Return this machine's name as filelock writes it."""
    with tempfile.TemporaryDirectory() as folder, SoftFileLease(Path(folder) / "lease") as lease:
        return lease.owner.hostname


class Lock:
    """One owner at a time.

    Args:
        path: the file; it is there while somebody owns the lock.
        watch: called with every touch; a sentence that it returns is the reason why the owner must end at once.
    """

    def __init__(self, path: Path, watch: Callable[[], str | None] | None = None) -> None:
        self.path = path
        self._watch = watch
        self._released = threading.Event()
        self._looked = 0.0
        self._lease = self._new_lease()

    def _new_lease(self) -> SoftFileLease:
        return SoftFileLease(
            self.path, lease_duration=STALE, heartbeat_interval=BEAT, on_compromise=_lost, thread_local=False
        )

    @property
    def owner(self) -> OwnerRecord | None:
        """Who has the lock; None if nobody does."""
        return self._lease.owner

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; without `wait` only if it is free or its owner is known to be dead by now."""
        pause, logged = 0.05, False
        while not self._try():
            if not wait:
                return False
            if not logged:
                log.info("waiting for another process that does the same work: %s", described(self.owner))
                logged = True
            time.sleep(pause)
            pause = min(pause * 1.5, max(0.1, BEAT / 5))
        self._released.clear()
        if self._watch:
            threading.Thread(target=self._ask, daemon=True).start()
        return True

    def take_over(self) -> bool:
        """Take the lock unless its owner lives; of one on another machine that may take `STALE` seconds to see."""
        before = None
        while not self.acquire(wait=False):
            owner, now = self.owner, self._touched()
            # Without an owner it is what another leaves there for a moment, while it takes the lock over.
            if owner and (_runs(owner) if owner.hostname == this_host() else before and now and now != before):
                return False
            if before is None:
                log.warning("watching %s for up to %.0f s, to see whether it is still running", described(owner), STALE)
            before = now or before
            time.sleep(BEAT / 10)
        return True

    def held(self) -> bool:
        """Return whether this process still has the lock: another may have taken it over."""
        owner, token = self.owner, self._lease.token
        return owner is not None and token is not None and owner.token == token

    def release(self) -> None:
        """Let the next one have it; does nothing where the lock was lost."""
        self._released.set()
        self._lease.release()

    def _try(self) -> bool:
        now = time.monotonic()
        if now - self._looked > 3 * BEAT:
            # The file system may have been away, for the owner too: that it was silent has not been seen.
            self._lease = self._new_lease()
        self._looked = now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        before = self.owner
        for _ in range(2):  # where the first removes what a dead owner has left
            with contextlib.suppress(Timeout, FileNotFoundError):
                self._lease.acquire(blocking=False)
                if before:
                    log.warning(
                        "taking over from %s, which ended without finishing; what it saved is kept", described(before)
                    )
                return True
        return False

    def _touched(self) -> tuple[int, int] | None:
        with contextlib.suppress(FileNotFoundError):
            seen = os.stat(self.path)
            return seen.st_ino, seen.st_mtime_ns
        return None

    def _ask(self) -> None:
        while not self._released.wait(BEAT):
            if (reason := self._watch()) and not self._released.is_set():
                end_process(reason)


def look(path: Path) -> str | None:
    """Say who has a lock, without touching it; None if nobody that lives has, as far as can be seen at once."""
    owner = SoftFileLease(path, lease_duration=STALE).owner
    try:
        silent = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    if owner is None:
        return None
    # Of another machine only the time of the last touch is known, by clocks that may disagree a little.
    alive = _runs(owner) if owner.hostname == this_host() else silent < STALE + 60
    return described(owner) if alive else None


def _runs(owner: OwnerRecord) -> bool:
    """Return whether the process runs; a zombie, whose parent never collects its exit status, doesn't."""
    try:
        return Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
    except PermissionError:  # another user's, on a machine that hides those
        return True


def _lost(loss: LeaseCompromise) -> None:
    end_process(f"{loss.lock_file} can't be touched ({loss.error})" if loss.reason == "refresh-failed" else LOST)


def end_process(reason: str) -> None:
    """End this process from any of its threads, whatever it is doing; what it has saved stays."""
    log.error("error: %s; ending here", reason)
    logging.shutdown()
    os._exit(75)
