"""A lock between processes on any machine that shares a file system, for locks that outlive their owner.

`flock` isn't enough: on some network file systems it holds for one machine only, or not at all. Here a lock is a folder
of numbered claims, and the highest number holds it. A claim is made by linking a file that is already whole to the next
number, which only one process can do, and is never deleted while it is the highest; so two that wait for the same dead
owner can't both get the lock. The owner is dead when its process is gone (seen at once on its own machine), or when it
hasn't touched its claim for `STALE` seconds of the watcher's own clock (so clocks needn't agree).
"""

import contextlib
import errno
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger("fewshot_distillation")

# Seconds between two touches, and how long without one means death. Network file systems may show a file's time up to
# a minute late.
BEAT, STALE = 10.0, 120.0
FREE = {"free": True}
LOST = "another process took this work over, because this one had seemed dead"
# What file systems without hard links say.
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def _started(pid: int | str) -> str | None:
    """When a process of this machine began, in clock ticks since boot; None if there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _machine() -> list[str]:
    """What tells machines, their boots and their containers' process tables apart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return [socket.gethostname(), boot, os.readlink("/proc/self/ns/pid")]
    except OSError:
        return [socket.gethostname(), "", ""]


def this_process() -> dict[str, Any]:
    """Who takes a lock: machine, process, and the cluster's number of the job."""
    pid = os.getpid()
    owner = {"machine": _machine(), "pid": pid, "started": _started(pid), "job": os.environ.get("SLURM_JOB_ID")}
    return owner | {"token": uuid.uuid4().hex}


def described(owner: dict[str, Any]) -> str:
    host = (owner.get("machine") or ["?"])[0]
    job = f", job {owner['job']}" if owner.get("job") else ""
    return f"process {owner.get('pid', '?')} on {host}{job}"


def is_alive(owner: dict[str, Any]) -> bool | None:
    """Whether the owner lives, as far as its process can be seen from here; None on another machine."""
    machine, here = owner.get("machine"), _machine()
    if not machine or machine[0] != here[0] or not here[1]:
        return None
    if machine[1] != here[1]:
        return False  # this machine has been started again since
    return _started(owner["pid"]) == owner["started"] if machine[2] == here[2] else None


class Lock:
    """One owner at a time.

    Args:
        folder: where the claims are kept.
        watch: asked with every touch; a sentence that it returns says why the owner must end at once.

    An owner that another process took for dead ends as well, as two must not do the same work.
    """

    def __init__(self, folder: Path, watch: Callable[[], str | None] | None = None) -> None:
        self.folder = folder
        self.owner: dict[str, Any] = {}
        self._watch = watch or (lambda: None)
        self._claim: Path | None = None
        self._seen: tuple[str, int, float] | None = None
        self._looked = 0.0
        self._stop = threading.Event()

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; without `wait` only if it is free or its owner is known to be dead by now."""
        pause, told = 0.05, False
        while not self._try():
            if not wait:
                return False
            if not told:
                log.info("waiting for another process that does the same work: %s", described(self.owner))
                told = True
            time.sleep(pause)
            pause = min(pause * 1.5, max(0.1, BEAT / 5))
        self._stop.clear()
        threading.Thread(target=self._beat, daemon=True).start()
        return True

    def take_over(self) -> bool:
        """Take the lock unless its owner lives; of one on another machine that may take `STALE` seconds to see."""
        before = None
        while not self.acquire(wait=False):
            now = self._seen and self._seen[:2]
            if is_alive(self.owner) or (before and now != before):
                return False
            if before is None:
                log.warning("looking for a sign of life of %s, for up to %.0f s", described(self.owner), STALE)
            before = now
            time.sleep(BEAT / 10)
        return True

    def held(self) -> bool:
        """Whether this process has the lock still: another may have taken it for dead."""
        try:
            return self._claim is not None and self._highest()[1] == self._claim
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the next one have it; does nothing where the lock was lost."""
        self._stop.set()
        claim, self._claim = self._claim, None
        if claim is not None and self._holds(claim):
            self._publish(FREE, lambda whole: os.replace(whole, claim))

    def remove(self) -> None:
        """Release the lock for good: nothing of it is left."""
        self._stop.set()
        self._claim = None
        for path in self.folder.glob("*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _try(self) -> bool:
        try:
            return self._take()
        except (FileExistsError, FileNotFoundError):  # another was faster, or has removed the lock
            return False

    def _take(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)
        number, path = self._highest()
        if path is not None and not self._may_follow(path):
            return False
        claim = self.folder / f"{number + 1:06d}"
        owner = this_process()
        self._publish(owner, lambda whole: _link_new(whole, claim))
        if self._highest()[0] != number + 1:  # others came and went while this process looked
            claim.unlink(missing_ok=True)
            return False
        if path is not None and self.owner and self.owner != FREE:
            log.info("taking over from %s, which is gone", described(self.owner))
        self._claim, self.owner = claim, owner
        for old in self.folder.glob("[0-9]*"):
            if int(old.name) <= number:
                old.unlink(missing_ok=True)
        return True

    def _highest(self) -> tuple[int, Path | None]:
        numbers = [int(path.name) for path in self.folder.iterdir() if path.name.isdigit()]
        return (max(numbers), self.folder / f"{max(numbers):06d}") if numbers else (0, None)

    def _may_follow(self, path: Path) -> bool:
        """Whether the highest claim is free or its owner dead."""
        try:
            # Opening a file is what makes a network file system ask for its present state.
            with open(path) as file:
                text, touched = file.read(), os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return False
        try:
            self.owner = json.loads(text)
        except ValueError:
            self.owner = {}
        alive = self.owner != FREE and is_alive(self.owner)
        if alive is not None:
            return not alive
        state = (f"{path.name} {self.owner.get('token')}", touched)
        now = time.monotonic()
        # A watcher that was held up itself, by a file system that was away, hasn't seen that the owner was silent.
        if self._seen is None or self._seen[:2] != state or now - self._looked > 3 * BEAT:
            self._seen = (*state, now)
        self._looked = now
        return now - self._seen[2] > STALE

    def _holds(self, claim: Path) -> bool:
        try:
            return json.loads(claim.read_text()).get("token") == self.owner.get("token")
        except (OSError, ValueError):
            return False

    def _publish(self, content: dict[str, Any], place: Callable[[Path], None]) -> None:
        whole = self.folder / f".{uuid.uuid4().hex}"
        whole.write_text(json.dumps(content))
        try:
            place(whole)
        finally:
            whole.unlink(missing_ok=True)

    def _beat(self) -> None:
        claim = self._claim
        while claim is not None and not self._stop.wait(BEAT):
            try:
                held = self.held()
                os.utime(claim)
            except FileNotFoundError:
                held = False
            except OSError as error:  # a network file system may be away for a while
                log.warning("can't touch %s: %s", claim, error)
                continue
            reason = self._watch() if held else LOST
            if reason and not self._stop.is_set():
                end_process(reason)


def _link_new(whole: Path, claim: Path) -> None:
    """Give a whole file its name, or raise FileExistsError."""
    try:
        os.link(whole, claim)
    except FileExistsError:
        if claim.read_text() != whole.read_text():  # else a network file system reports its own repeated request
            raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        with open(claim, "x") as file:  # it is empty for an instant
            file.write(whole.read_text())


def end_process(reason: str) -> None:
    """End this process from any of its threads, whatever it is doing; what it has saved stays."""
    log.error("error: %s; ending here", reason)
    logging.shutdown()
    os._exit(75)
