"""A study of a few seconds in a folder of its own, and the commands that people type."""

import base64
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Self

import yaml

import warm

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("Snakefile", "rules", "scripts", "envs", "report", "workflow_config.yaml", "published.yaml")

HALF_A_FILE = b"PAR1 half a fi"
# It would leave files named `pwned…` behind if a shell read it.
HOSTILE_FOLDER = "out $(touch pwned5) `touch pwned6` ; touch pwned7 #"

USER_OF_MODULE = f"""
configfile: "mine.yaml"

module study:
    snakefile: {str(ROOT / "Snakefile")!r}
    config: config["study"]

use rule * from study as study_*

onstart:
    study.onstart()

onsuccess:
    study.onsuccess()

rule report_on_it:
    default_target: True
    input: "elsewhere/out/runs/tiny/sft/lambda0/seed42/short/accuracy.csv"
    output: "report.txt"
    shell: "wc -l {{input}} > {{output}}"
"""


def tiny_config(model: Path) -> dict:
    """Every kind of run on the tiny model: all conditions, a λ sweep, phase 0."""
    return {
        "dataset": "problems",
        "precision": "fp32",
        "datasets": {"problems": {"source": {"generator": "word_problems", "train": 24, "test": 10, "seed": 1}}},
        "models": {"tiny": {"source": {"files": str(model)}, "chat_template": {"enable_thinking": False}}},
        "teachers": {"fewshot": {"shots": 4, "demonstrations": "per_example", "seed": 3}},
        "conditions": {
            "sft": {"label": "B · SFT"},
            "layerwise": {"label": "C", "target": "hidden_states", "teacher": "fewshot", "lambda": 0.5},
            "logit_kl": {"label": "D", "target": "logits", "teacher": "fewshot", "top_k": 32, "span": "prompt_end"},
        },
        "schedules": {"short": {"max_steps": 4, "checkpoints": [2, 4]}},
        "training": {"default": {"warmup_steps": 1, "effective_batch_size": 4, "micro_batch_tokens": 512}},
        "evaluation": {"max_new_tokens": 8, "batch_tokens": 256},  # several batches
        "baselines": ["zeroshot", "fewshot"],
        "save_state_every": 1,
        "icl_gap": {"phase0": {"models": ["tiny"], "shots": [0, 4], "questions": 6}},
        "studies": {
            "main": {"models": ["tiny"], "conditions": ["sft", "layerwise", "logit_kl"], "schedules": ["short"]},
            "sweep": {"models": ["tiny"], "conditions": ["layerwise"], "lambdas": [0.1, 0.5], "schedules": ["short"]},
        },
    }


class Project:
    """A working folder with a configuration; the workflow itself lies elsewhere."""

    seconds = 600  # after which a run is given up

    def __init__(self, folder: Path, config: dict, source: Path = ROOT) -> None:
        self.folder, self.source = folder, source
        folder.mkdir(parents=True, exist_ok=True)
        self.configure(config)

    def configure(self, config: dict) -> None:
        self.config = config
        (self.folder / "workflow_config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def command(self, *arguments: str) -> list[str]:
        fixed = ["-s", str(self.source / "Snakefile"), "--directory", str(self.folder), "--cores", "2", "--nolock"]
        return [sys.executable, "-m", "snakemake", *fixed, "--rerun-incomplete", *arguments]

    def run(self, *arguments: str, check: bool = True, fresh: bool = False) -> str:
        """Run Snakemake to its end; what it printed. `fresh` starts every Python anew, as users do."""
        options = {"capture_output": True, "text": True, "cwd": self.folder, "timeout": self.seconds}
        done = subprocess.run(self.command(*arguments), env=None if fresh else warm.variables(), **options)
        output = done.stdout + done.stderr
        if check and done.returncode:
            raise AssertionError(f"snakemake {' '.join(arguments)} failed:\n{output[-6000:]}")
        if not check:
            assert done.returncode, "this run was expected to fail"
        return output

    def take(self, done: "Project", *parts: str) -> Self:
        """Take over what another working folder has below results, or all of it, with Snakemake's notes about it.

        Results are second names of the same files, since what makes a result again writes a new file. Logs are not.
        """
        parts = parts or tuple(path.name for path in done.path().iterdir() if path.name != ".state")
        for part in parts:
            self.path(part).parent.mkdir(parents=True, exist_ok=True)
            how = shutil.copy2 if part in ("logs", "benchmarks") else os.link
            if done.path(part).is_dir():
                shutil.copytree(done.path(part), self.path(part), copy_function=how)
            else:
                how(done.path(part), self.path(part))
        for note in done.notes("metadata"):
            if any(Path(output_of(note)).is_relative_to(f"results/{part}") for part in parts):
                target = self.folder / note.relative_to(done.folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(note, target)
        return self

    def notes(self, kind: str) -> list[Path]:
        """Snakemake's notes of outputs: `metadata` of those that are done, `incomplete` of those under way."""
        folder = self.folder / ".snakemake" / kind
        return list(folder.iterdir()) if folder.exists() else []

    def declared(self, kind: str) -> list[str]:
        """The outputs of which Snakemake has such notes."""
        return [output_of(note) for note in self.notes(kind)]

    def start(self, *arguments: str) -> subprocess.Popen:
        """Run Snakemake in the background, in a process group of its own."""
        log = open(self.folder / "driver.log", "a")  # noqa: SIM115 (the process keeps it)
        options = {"stdout": log, "stderr": log, "cwd": self.folder, "start_new_session": True}
        return subprocess.Popen(self.command(*arguments), **options, preexec_fn=heed_interrupts)

    def planned(self, *arguments: str) -> Counter:
        """Jobs per rule that a run would do."""
        output = self.run("-n", *arguments)
        stats = re.search(r"Job stats:\njob +count\n[- ]+\n((?:\S+ +\d+\n)+)", output)
        if stats is None:
            assert "Nothing to be done" in output, output[-2000:]
            return Counter()
        counts = Counter({name: int(count) for name, count in re.findall(r"(\S+) +(\d+)\n", stats.group(1))})
        del counts["total"]
        return counts

    def tear(self, outputs: list[str]) -> None:
        """Leave half a file in the place of outputs, as jobs do that were under way when their node died.

        They are new files, because what was there is deleted before a job starts.
        """
        for name in outputs:
            marker = self.folder / ".snakemake" / "incomplete" / base64.urlsafe_b64encode(name.encode()).decode()
            for path, content in ((self.folder / name, HALF_A_FILE), (marker, b"")):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                path.write_bytes(content)

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath("results", *parts)

    def digests(self, *patterns: str) -> dict[str, str]:
        """SHA-256 of every result that a pattern matches."""
        found = {}
        for pattern in patterns:
            for path in sorted(self.path().glob(pattern)):
                found[str(path.relative_to(self.folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found


def output_of(note: Path) -> str:
    return base64.urlsafe_b64decode(note.name).decode()


def heed_interrupts() -> None:
    """Take SIGINT in a new process, which ignores it where a shell has started the tests in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def copy_of_workflow(folder: Path) -> Path:
    """The workflow's own files in a folder where a test may edit them."""
    for name in SOURCES:
        origin = ROOT / name
        if origin.is_dir():
            shutil.copytree(origin, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(origin, folder / name)
    return folder


def write_user_of_module(folder: Path, config: dict, results: str = "elsewhere/out") -> None:
    """A workflow of somebody else's that uses this one as a module, with a results folder of its choice."""
    (folder / "Snakefile").write_text(USER_OF_MODULE)
    (folder / "mine.yaml").write_text(yaml.safe_dump({"study": config | {"results": results}}))


def pwned(*folders: Path) -> list[Path]:
    """What a shell has left behind that read a hostile value."""
    return [path for folder in folders for path in folder.rglob("pwned*") if "touch" not in path.name]


def wait_for(condition, what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.02)


def kill_group(process: subprocess.Popen) -> None:
    """SIGKILL for the driver and all its jobs, as when a machine loses power."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
