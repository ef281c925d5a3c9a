"""What every program under scripts/ shares: arguments, the spec, logging, offline mode, saved state and errors."""

import argparse
import atexit
import contextlib
import gc
import hashlib
import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from ..config.base import ConfigError, explain
from ..config.digests import code_digest
from ..config.machine import Machine
from ..config.specs import JobSpec
from ..errors import JobError, full_disk
from ..hardware import energy
from ..hardware.gpus import check_gpus, take_gpus
from .files import sha256, write_json
from .plans import refusal
from .processes import LAUNCH, LAUNCHED, RANK, WORLD_SIZE, start_processes
from .provenance import provenance, surroundings, versions
from .workspace import Workspace

log = logging.getLogger("fewshot_distillation")

S = TypeVar("S", bound=JobSpec)
GARBAGE = gc.get_threshold()


@dataclass
class Job(Generic[S]):
    """A parsed command line: `spec`, `machine`, and every other argument as an attribute of `paths`."""

    spec: S
    machine: Machine
    paths: argparse.Namespace
    program: str

    @contextlib.contextmanager
    def workspace(self, outputs: dict[str, Path], inputs: list[Path], *modules: str) -> Iterator[Workspace | None]:
        """Open the job's folder of unfinished work; None if an earlier attempt had finished and its outputs are back.

        Spec, versions, commit and device are written next to the first output, as `<output>.job.json`.

        Args:
            outputs: where each output belongs.
            inputs: small files that identify the inputs; their content is part of the workspace's key.
            modules: package modules that the program loads by name.
        """
        gc.freeze()
        gc.set_threshold(*GARBAGE)
        spec = self.spec.model_dump(mode="json", by_alias=True)
        first = next(iter(outputs.values()))
        outputs = outputs | {"job": first.with_name(f"{first.name}.job.json")}
        key = {
            "outputs": {name: str(path) for name, path in outputs.items()},
            "spec": spec,
            "code": code_digest(self.program, *modules),
            "inputs": {str(path): sha256(path) for path in inputs},
            "versions": versions(),
        }
        name = f"{hashlib.sha256(str(key['outputs']).encode()).hexdigest()[:16]}-{self.spec.digest()}"
        work = Workspace(Path(self.machine.state) / self.program.removesuffix(".py") / name, outputs, key)
        if RANK > 0:
            with work.joined(LAUNCH) as unfinished:
                yield work if unfinished else None
            return
        with work.opened() as unfinished:
            if WORLD_SIZE > 1:
                work.announce(LAUNCH, unfinished)
            yield work if unfinished else None
            if unfinished:
                write_json(work["job"], provenance(spec))


def _set_up(network: bool) -> None:
    """Log to stderr, and switch libraries' network, telemetry and chatter off."""
    # Until `workspace`: imports make a million objects that stay, and looking for garbage among them, again and again
    # and at the end, takes a sixth of a short job's time.
    gc.set_threshold(100_000, 20, 100)
    atexit.register(gc.freeze)
    level = logging.WARNING if RANK else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    for client in ("httpx", "httpx2"):
        logging.getLogger(client).setLevel(logging.WARNING)  # or a server's every answer would be a line
    logging.captureWarnings(True)
    if not network:
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


@contextlib.contextmanager
def job(
    description: str,
    spec_type: type[S],
    arguments: dict[str, str],
    network: bool = False,
    process_per_gpu: bool = False,
) -> Iterator[Job[S]]:
    """Parse the command line, validate the spec, and turn expected errors into one sentence and exit code 1.

    Args:
        description: what the program does, for `--help`.
        spec_type: class of the JSON in `--spec`, which may be `@file`.
        arguments: names with help texts; a name that ends in `?` takes one value or none, in `*` any number, in
            `@` a file with one value a line, for more of them than a command line can hold.
        network: whether the program may reach the hub.
        process_per_gpu: whether the program runs as one process for each requested GPU; it starts them itself.
    """
    _set_up(network)
    # Edited code may not even understand the command line.
    if reason := refusal():
        sys.exit(f"error: {reason}")
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--spec", required=True, help=f"JSON of {spec_type.__name__}, or @file")
    parser.add_argument("--machine", default="{}", help="JSON of Machine: settings that no result depends on")
    for name, text in arguments.items():
        values = {"?": {"nargs": "?"}, "*": {"nargs": "*", "default": []}}.get(name[-1], {})
        parser.add_argument(f"--{name.rstrip('?*@')}", required=not values, help=text, **values)
    paths = parser.parse_args()
    for name in (name.rstrip("@") for name in arguments if name.endswith("@")):
        setattr(paths, name, Path(getattr(paths, name)).read_text().splitlines())
    started = time.monotonic()
    program = Path(sys.argv[0]).name
    try:
        text = Path(paths.spec[1:]).read_text() if paths.spec.startswith("@") else paths.spec
        spec, machine = spec_type.model_validate_json(text), Machine.model_validate_json(paths.machine)
        if not LAUNCHED:
            take_gpus(machine.gpus)
        if process_per_gpu:
            start_processes(max(machine.gpus, 1), machine.accelerate)
        log.info("%s", shlex.join(["python", *sys.argv]))
        log.info("%s", surroundings(machine.gpus))
        check_gpus(machine.gpus)
        drawn = energy.counted(machine.gpus) if RANK == 0 else None
        yield Job(spec, machine, paths, program)
        if drawn is not None and (said := energy.told(drawn, energy.counted(machine.gpus))):
            log.info("%s", said)
        log.info("%s finished in %.1f s", program, time.monotonic() - started)
    except ValidationError as error:
        sys.exit(f"error: expected the JSON of a {error.title}: {explain(error)}")
    except (JobError, ConfigError) as error:
        sys.exit(f"error: {error}")
    except Exception as error:
        if not full_disk(error):
            raise
        sys.exit(
            f"error: the disk is full ({error}); free some space, or move the results to a "
            "larger disk and set `results` to that folder, then run the same command again: saved work is kept"
        )
