"""A job's unfinished work, kept where the next attempt finds it, and its outputs, published whole.

A job writes its outputs into `outputs/` of its workspace. `finish` links them into place by rename and leaves a note of
their digests behind: should the driver die before it hears of the success, it deletes the outputs and starts the job
again, which then puts them back instead of computing them anew. The driver removes finished workspaces when a workflow
ends well.
"""

import contextlib
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import JobError
from .files import flush, folder_digests, write_json
from .lock import LOST, Lock
from .plans import replaced_by_another_plan
from .processes import wait_until

log = logging.getLogger("fewshot_distillation")
FINISHED, PUBLISHED = "finished.json", "published.json"


class Workspace:
    """One job's folder below `.state`.

    Args:
        folder: where unfinished work is kept; the part of its name before a `-` is a digest of the outputs, and jobs
            with the same digest take turns.
        outputs: where each output, a file or a folder, belongs in the end.
        key: whatever the work depends on; work that was saved under another key is thrown away.
    """

    def __init__(self, folder: Path, outputs: dict[str, Path], key: dict[str, Any]) -> None:
        self.folder = folder
        self.outputs = outputs
        self.key = key

    def __getitem__(self, output: str) -> Path:
        """The path at which the job writes an output."""
        return self.folder / "outputs" / output / self.outputs[output].name

    @contextlib.contextmanager
    def opened(self) -> Iterator[bool]:
        """Take the workspace for this process; true if there is work to do, false if the outputs were put back.

        Only one process works for the same outputs: another waits here until the first has finished or died.

        Raises:
            JobError: another driver has taken the results folder with other settings or code; finished work is kept.
        """
        lock = Lock(lock_of(self.folder), watch=replaced_by_another_plan)
        lock.acquire()
        try:
            self._prepare()
            finished = self._finished()
            if finished:
                log.info("an earlier attempt finished this work; putting its outputs back")
            yield not finished
            if not finished:
                self._finish()
            if not lock.held():
                raise JobError(LOST)
            # Whoever works with other settings by now must not find these outputs in the place of its own.
            if reason := replaced_by_another_plan():
                raise JobError(reason)
            self._publish()
        finally:
            lock.release()

    @contextlib.contextmanager
    def joined(self, launch: str) -> Iterator[bool]:
        """Wait, as another process of a launch, until the first one has opened the workspace; its answer."""
        note = self.folder / f"launch-{launch}.json"
        wait_until(note.exists)
        yield json.loads(note.read_text())

    def announce(self, launch: str, unfinished: bool) -> None:
        """Let the other processes of a launch know what `opened` answered."""
        write_json(self.folder / f"launch-{launch}.json", unfinished)

    def _prepare(self) -> None:
        stamp = self.folder / "key.json"
        if self.folder.exists():
            if stamp.is_file() and json.loads(stamp.read_text()) == self.key:
                log.info("continuing from %s", self.folder)
            else:
                log.info("starting over: what is saved in %s has other inputs, settings or code", self.folder)
                shutil.rmtree(self.folder)
        self._create()

    def _create(self) -> None:
        self.folder.mkdir(exist_ok=True)
        write_json(self.folder / "key.json", self.key)
        for name in self.outputs:
            self[name].parent.mkdir(parents=True, exist_ok=True)

    def _finished(self) -> bool:
        """Whether an earlier attempt finished; if its outputs have been damaged since, they are thrown away."""
        note = self.folder / FINISHED
        if not note.is_file():
            return False
        if json.loads(note.read_text()) == folder_digests(self.folder / "outputs"):
            return True
        log.info("starting over: finished outputs in %s are not what they were", self.folder)
        shutil.rmtree(self.folder)
        self._create()
        return False

    def _finish(self) -> None:
        missing = [name for name in self.outputs if not self[name].exists()]
        if missing:
            raise FileNotFoundError(f"the job did not write {', '.join(missing)}")
        flush(self.folder / "outputs")
        write_json(self.folder / FINISHED, folder_digests(self.folder / "outputs"))
        for path in self.folder.iterdir():
            if path.name not in ("outputs", "key.json", FINISHED):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _publish(self) -> None:
        for name, target in self.outputs.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            for leftover in target.parent.glob(f".{target.name}.*"):
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
            if self[name].is_dir():
                shutil.copytree(self[name], fresh, copy_function=_link)
                retired = fresh.with_name(f"{fresh.name}.old")
                if target.exists():
                    os.replace(target, retired)
                os.replace(fresh, target)
                shutil.rmtree(retired, ignore_errors=True)
            else:
                _link(self[name], fresh)
                os.replace(fresh, target)
                fresh.unlink(missing_ok=True)  # renaming does nothing where both already name one file
        write_json(self.folder / PUBLISHED, [str(target) for target in self.outputs.values()])


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a file, or a copy on file systems that have no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def lock_of(folder: Path) -> Path:
    """Return the lock of all workspaces whose outputs are the same."""
    return folder.with_name(folder.name.partition("-")[0] + ".lease")


def remove_finished(state: Path, done: set[str]) -> None:
    """Delete the workspaces of jobs whose outputs are `done`; unfinished work and that of other jobs stay.

    What a driver that died had not noted as done is put back from its workspace when somebody asks for it.
    """
    known = {folder for file in done for folder in (Path(file), *Path(file).parents)}
    for note in state.glob(f"*/*/{PUBLISHED}"):
        lock = Lock(lock_of(note.parent))
        if known.isdisjoint(map(Path, json.loads(note.read_text()))) or not lock.acquire(wait=False):
            continue
        if note.exists():
            shutil.rmtree(note.parent, ignore_errors=True)
        lock.release()
    for folder in (*state.glob("*/"), state):
        with contextlib.suppress(OSError):
            folder.rmdir()
