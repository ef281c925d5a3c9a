"""Variables with which Snakemake and its jobs are forked from a process that has their libraries in memory."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


@functools.cache
def _server() -> tuple[str, tuple]:
    """The address of the process, which is short, and what lives as long as the tests: its input, and the folder.

    The address is empty where the libraries have started threads, since that process can't be forked.
    """
    folder = tempfile.TemporaryDirectory(prefix="warm-")
    address = str(Path(folder.name) / "socket")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    settings = os.environ | {"OMP_NUM_THREADS": "1"}  # read at the import; Snakemake gives the tests' jobs the same
    # The C library keeps memory instead of giving it back, which takes half the time of a loss over 151,936 tokens.
    settings |= {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
    server = subprocess.Popen([sys.executable, str(HERE / "server.py"), address], text=True, env=settings, **pipes)
    state = server.stdout.readline()
    assert state in ("ready\n", "threads\n")
    return address if state == "ready\n" else "", (server, folder)


@functools.cache
def possible() -> bool:
    """Whether this system tells when a process ends by a file that can be waited for, as Linux does."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def variables() -> dict[str, str]:
    """The variables of this process, and those that send a command to the one with the libraries if that can be."""
    address = _server()[0] if possible() else ""
    if not address:
        return dict(os.environ)
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "WARM_PROGRAMS": address}


def snakemake(*arguments: str, folder: Path, seconds: float = 600) -> str:
    """What `snakemake` prints in a folder, if it ends well and within so many seconds."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(command, cwd=folder, env=variables(), capture_output=True, text=True, timeout=seconds)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    return output
