"""Snakemake and programs of this workflow in processes that have libraries and configuration classes in memory.

To import these is most of a tiny job's time and of a dry run's. Run as a program with the path of a socket, this
imports them and forks for each connection. The new process runs the command that it is asked for, ends it if the
process that asked ends first, and tells that one how it ended.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
from pathlib import Path

import psutil

LIBRARIES = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "pandas",
    "peft",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "smart_open",
    "snakemake.cli",
    "statsmodels.stats.proportion",
    "torch.distributed.checkpoint.state_dict",
    "torch.nn.attention.varlen",
    "torch.utils.flop_counter",
    "torch.utils.tensorboard",
    "transformers.models.qwen3.modeling_qwen3",
)

ROOT = Path(__file__).resolve().parents[3]
# Of this checkout's own code only what reads configurations, which looks at no variable when it is imported.
OWN = "fewshot_distillation"
CONFIGURATION = ("analysis.protocols", "config.checks", "config.chosen_study", "config.load", "config.study_figures")


def import_libraries() -> None:
    """Import what the programs do, with the variables that they set before."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_DISABLE_TELEMETRY="1", TRANSFORMERS_VERBOSITY="error")
    for name in LIBRARIES:
        importlib.import_module(name)
    # What these take from their packages is imported when it is first used.
    from pydantic import BaseModel  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast  # noqa: F401

    sys.modules["snakemake.cli"].get_argument_parser()  # imports plugins
    sys.path.insert(0, str(ROOT / "scripts"))
    for name in CONFIGURATION:
        importlib.import_module(f"{OWN}.{name}")
    del sys.path[0]


def serve(connection: socket.socket) -> None:
    """Start the command that is asked for, and end with it; in the process that is to run it, return."""
    _, files, *_ = socket.recv_fds(connection, len(b"files"), 3)
    with connection.makefile() as text:
        request = json.loads(text.read())
    child = os.fork()
    if child == 0:
        connection.close()
        become(request, files)
        return
    for file in files:
        os.close(file)
    either = select.poll()
    either.register(os.pidfd_open(child), select.POLLIN)
    either.register(connection, 0)  # reports only that the other side is gone
    gone = any(number == connection.fileno() for number, _ in either.poll())
    if gone:
        # With all that it has started, which would keep the files open that somebody may be reading to their end.
        first = psutil.Process(child)
        for process in [first, *first.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    _, status = os.waitpid(child, 0)
    if not gone:
        connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: dict, files: list[int]) -> None:
    """Be the process that a shell has started, with its files, folder, variables and arguments."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["arguments"]
    if not is_ours(sys.argv):
        for name in [name for name in sys.modules if name.partition(".")[0] == OWN]:
            del sys.modules[name]


def is_ours(arguments: list[str]) -> bool:
    """Whether a command runs this checkout's code and not a copy, which a test may have edited."""
    named = [value for option, value in zip(arguments, arguments[1:], strict=False) if option in ("-s", "--snakefile")]
    path = Path(arguments[0] if arguments[0] != "-m" else named[0] if named else "Snakefile")
    return path.resolve().is_relative_to(ROOT)


def run() -> None:
    """Run the command as Python would."""
    if sys.argv[0] == "-m":
        sys.path[0] = os.getcwd()
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


def main() -> None:
    import_libraries()
    gc.freeze()
    # Only a process of one thread can be forked; jemalloc starts its own again.
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    if len(threads) - threads.count("jemalloc_bg_thd") > 1:
        print("threads", flush=True)
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(sys.argv[1])
        server.listen()
        print("ready", flush=True)
        while select.select([server, sys.stdin], [], [])[0] == [server]:  # until the tests close this process's input
            connection, _ = server.accept()
            if os.fork() == 0:
                break
            connection.close()
        else:
            return
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    serve(connection)
    run()


if __name__ == "__main__":
    main()
