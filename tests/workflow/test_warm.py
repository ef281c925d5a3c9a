"""Commands in forked processes are what they are in processes of their own."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import warm
from project import copy_of_workflow, wait_for

PROGRAM = """
import os, signal, subprocess, sys
print(__name__, sys.argv, sys.path[0], os.getcwd(), os.environ.get("OF_THIS_TEST"), sys.stdin.read())
print("torch" in sys.modules)
print("to stderr", file=sys.stderr)
open("pid", "w").write(str(os.getpid()))
match sys.argv[1]:
    case "killed": os.kill(os.getpid(), signal.SIGTERM)
    case "waits": subprocess.run(["sleep", "600"])
    case code: sys.exit(int(code))
"""

pytestmark = pytest.mark.skipif(
    not warm.possible(), reason="commands are forked only where the system tells when one ends"
)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "program.py").write_text(PROGRAM)
    return tmp_path / "scripts" / "program.py"


ENDS = {"0": 0, "3": 3, "killed": -signal.SIGTERM}


@pytest.mark.parametrize("argument", ENDS)
def test_arguments_files_and_the_end(program: Path, monkeypatch, argument: str):
    monkeypatch.setenv("OF_THIS_TEST", "a 'value'")
    command, given = [sys.executable, str(program), argument, "an argument"], {"input": "a line", "text": True}
    own, forked = (
        subprocess.run(command, cwd=program.parent.parent, env=variables, capture_output=True, **given)
        for variables in (None, warm.variables())
    )
    assert own.returncode == forked.returncode == ENDS[argument]
    assert own.stderr == forked.stderr == "to stderr\n"
    assert own.stdout.replace("False", "True") == forked.stdout and "False" in own.stdout


def gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


def test_whoever_asked_is_killed(program: Path):
    """Neither the command nor what it has started outlives the process that Snakemake or Slurm has started."""
    folder = program.parent.parent
    asking = subprocess.Popen(
        [sys.executable, str(program), "waits"], cwd=folder, env=warm.variables(), stdin=subprocess.DEVNULL
    )
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text(), "the command's start")
    there = Path("/proc", (folder / "pid").read_text(), "cwd")
    assert there.readlink() == folder and int(there.parent.name) != asking.pid
    wait_for(lambda: psutil.Process(int(there.parent.name)).children(), "what the command starts")
    (started,) = psutil.Process(int(there.parent.name)).children()
    asking.kill()
    asking.wait()
    wait_for(lambda: not there.exists() and gone(started), "the end of both")


EDITED = """
import fewshot_distillation.config.base as base
print(base.__file__, getattr(base, "edited", False))
"""


def test_a_copy_of_the_code_is_what_runs(tmp_path: Path):
    """This checkout's own settings are in memory already; those of a copy, which a test may edit, are read."""
    copy = copy_of_workflow(tmp_path / "copy") / "scripts"
    with open(copy / "fewshot_distillation" / "config" / "base.py", "a") as file:
        file.write("\nedited = True\n")
    (copy / "program.py").write_text(EDITED)
    ran = subprocess.run(
        [sys.executable, str(copy / "program.py")], env=warm.variables(), capture_output=True, text=True
    )
    assert ran.stdout.split() == [str(copy / "fewshot_distillation" / "config" / "base.py"), "True"], ran.stderr
