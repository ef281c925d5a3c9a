"""On PYTHONPATH, this lets a training want more memory in its middle than its job may have at first."""

import ctypes
import sys
import threading
import time
from pathlib import Path

WANTED_BYTES = 1300 << 20
AFTER_STEP = 4


def want_more() -> None:
    while not any(int(path.name[5:]) >= AFTER_STEP for path in Path("results/.state").glob("train/*/steps-*/step-*")):
        time.sleep(0.01)
    held = b"x" * WANTED_BYTES
    # It keeps the interpreter to itself, so that no step is done until Slurm has looked.
    ctypes.PyDLL(None).sleep(5)
    del held


if any(Path(word).name == "train.py" for word in sys.orig_argv[1:2]):
    threading.Thread(target=want_more, daemon=True).start()
