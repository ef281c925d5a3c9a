"""Variables with which Snakemake and its jobs are forked from a process that has their libraries in memory."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


@functools.cache
def _server() -> tuple[subprocess.Popen, str]:
    """The process, which ends when the tests do and close its input, and its address, which is short."""
    address = str(Path(tempfile.mkdtemp(prefix="warm-")) / "socket")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    settings = os.environ | {"OMP_NUM_THREADS": "1"}  # read at the import; Snakemake gives the tests' jobs the same
    # The C library keeps memory instead of giving it back, which takes half the time of a loss over 151,936 tokens.
    settings |= {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
    server = subprocess.Popen([sys.executable, str(HERE / "server.py"), address], text=True, env=settings, **pipes)
    assert server.stdout.readline() == "ready\n"
    return server, address


def variables() -> dict[str, str]:
    """The variables of this process, and those that send a command to the one with the libraries."""
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "WARM_PROGRAMS": _server()[1]}


def snakemake(*arguments: str, folder: Path) -> str:
    """What `snakemake` prints in a folder, if it ends well."""
    command = [sys.executable, "-m", "snakemake", *arguments]
    done = subprocess.run(command, cwd=folder, env=variables(), capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-6000:]
    return output
