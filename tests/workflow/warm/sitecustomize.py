"""What Python runs first where tests have put this folder on PYTHONPATH.

Snakemake, or a program of this workflow, then runs in a process that has its libraries in memory, and this process ends
as that does.
"""

import os
import sys


def _can_be_forked() -> bool:
    folder, name = os.path.split(sys.orig_argv[1] if len(sys.orig_argv) > 1 else "")
    program = os.path.basename(folder) == "scripts" and name.endswith(".py")
    module = sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2:3] in (["snakemake"], ["accelerate.commands.launch"])
    return program or module or name in ("train_watched.py", "impatient.py")


def _run_there(address: str) -> None:
    import json
    import signal
    import socket

    request = {"arguments": sys.orig_argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [b"files"], [0, 1, 2])
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        status = int(connection.makefile().read())
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


if "WARM_PROGRAMS" in os.environ and _can_be_forked():
    _run_there(os.environ["WARM_PROGRAMS"])
