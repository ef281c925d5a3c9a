"""Snakemake in processes of their own that don't import it again, which would be most of a dry run's time.

Run as a program, this imports Snakemake and then, for each line of JSON on its standard input, forks a process that
runs the command in it; what comes back is its exit status once it has ended.
"""

import functools
import gc
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

HERE = Path(__file__).resolve()


@functools.cache
def _parent() -> subprocess.Popen:
    """The process that has Snakemake in its memory; it ends when the tests do and close its input."""
    return subprocess.Popen([sys.executable, str(HERE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def snakemake(arguments: list[str], folder: Path, seconds: float = 600) -> tuple[int, str]:
    """Run `snakemake` with arguments in a folder, with the variables of this process; its exit status and output."""
    parent = _parent()
    with tempfile.NamedTemporaryFile("r") as log:
        request = {"arguments": arguments, "folder": str(folder), "log": log.name, "environment": dict(os.environ)}
        print(json.dumps(request), file=parent.stdin, flush=True)
        if not select.select([parent.stdout], [], [], seconds)[0]:
            for process in psutil.Process(parent.pid).children(recursive=True):
                process.kill()
            raise TimeoutError(f"snakemake {' '.join(arguments)} ran for {seconds:.0f} s:\n{log.read()[-6000:]}")
        return int(parent.stdout.readline()), log.read()


def serve() -> list[str]:
    """Fork for each request; in the new process, return the arguments of its `snakemake`."""
    answers = os.fdopen(os.dup(1), "w")
    while line := sys.stdin.readline():
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            answers.close()
            become(Path(request["folder"]), Path(request["log"]), request["environment"])
            return request["arguments"]
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    sys.exit()


def become(folder: Path, log: Path, environment: dict[str, str]) -> None:
    """Be a process that a shell has started in a folder, writing to a log."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path, how in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)):
        opened = os.open(path, how, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)


if __name__ == "__main__":
    sys.path[0] = ""  # as `python -m snakemake` finds modules
    import pydantic  # noqa: F401 (the workflow itself is read anew by each process, because tests edit it)
    import snakemake.cli

    snakemake.cli.get_argument_parser()  # imports plugins
    gc.freeze()
    sys.argv = ["snakemake", *serve()]
    snakemake.cli.main()
