"""The driver's hold on a results folder: there is one at a time, and its jobs know which."""

import contextlib
import hashlib
import os
import time
import uuid
from pathlib import Path

from .files import write_json
from .lock import Lock, described
from .plans import PLANS, hand_down_note


class Driver:
    """This driver's hold on a results folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._lock = Lock(state / "driver.lease")

    def take(self) -> str | None:
        """Take the folder; return why it can't be taken, as where another driver has it.

        The lock is let go when the driver ends, however it ends, so nothing is left to unlock; of a driver on another
        machine it takes a while to see that it ended.
        """
        folder = self.state.parent
        try:
            if not self._lock.take_over():
                other = described(self._lock.owner)
                return f"Another run is working in {folder} ({other}); wait for it or stop it first."
        except OSError as error:
            return f"results: can't write to '{folder}' ({error}); choose another folder"
        plans = hashlib.sha256(os.environ.get(PLANS, "").encode()).hexdigest()[:16]
        note = {"id": uuid.uuid4().hex, "plan": plans, "since": time.time()}
        write_json(self.state / "driver.json", note)
        hand_down_note(self.state, note)
        return None

    def release(self) -> None:
        """Let another driver begin at once, from whatever machine."""
        self._lock.release()

    def finished(self) -> None:
        """Remove the driver's files, since nothing is left to do."""
        (self.state / "driver.json").unlink(missing_ok=True)
        self._lock.release()
        with contextlib.suppress(OSError):
            self.state.rmdir()
