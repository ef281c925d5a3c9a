"""A study of a few seconds on a cluster, through the profile that users get."""

import contextlib
import copy
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from project import ROOT, Project, tiny_config
from slurm import Slurm, wait_until

HERE = Path(__file__).resolve().parent
PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"

STEPS = 60
PATIENCE = 600  # two clusters may share two cores
RUN = "results/runs/tiny/layerwise/lambda0.5/seed42/long"
TRAINED, ANSWERED = f"{RUN}/checkpoints/manifest.json", f"{RUN}/predictions.parquet"
ACTIVE = ("RUNNING", "PENDING", "COMPLETING")

# What a site fills in, and nothing else; not waiting long is for the tests' sake.
SITE = {
    "# site: slurm_partition: cpu": "slurm_partition: cpu",
    "# site: slurm_partition: gpu": "slurm_partition: gpu",
    "latency-wait: 60": "latency-wait: 10",
}


def cluster_config(model: Path) -> dict:
    """All conditions, a λ sweep and phase 0, and one run long enough that there is a middle to be killed in.

    Evaluation reserves two GPUs, of which the node has four.
    """
    config = copy.deepcopy(tiny_config(model))
    config["models"]["tiny"]["gpus"] = {"evaluate": 2}
    config["schedules"]["long"] = {"max_steps": STEPS, "checkpoints": [STEPS // 2, STEPS]}
    config["studies"]["long"] = {"models": ["tiny"], "conditions": ["layerwise"], "schedules": ["long"]}
    config["studies"]["main"]["conditions"] = ["sft", "logit_kl"]
    config["studies"]["sweep"]["lambdas"] = [0.1]
    config["save_state_every"] = 2
    return config


class ClusterProject(Project):
    """A working folder with a configuration and the profile as `./slurm`."""

    seconds = 3 * PATIENCE

    def __init__(self, folder: Path, config: dict, slurm: Slurm, source: Path = ROOT) -> None:
        super().__init__(folder, config, source)
        self.slurm = slurm
        self.use_profile({})

    def use_profile(self, changes: dict[str, str]) -> None:
        """Write the profile with the site's settings; `changes` replaces more of its text."""
        text = PROFILE.read_text()
        for old, new in {**SITE, **changes}.items():
            assert old in text, f"the profile has no line '{old}'"
            text = text.replace(old, new)
        (self.folder / "slurm").mkdir(exist_ok=True)
        (self.folder / "slurm" / "config.yaml").write_text(text)

    def command(self, *arguments: str) -> list[str]:
        workflow = ["-s", str(self.source / "Snakefile")]
        return [sys.executable, str(HERE / "impatient.py"), *workflow, "--profile", "slurm", *arguments]

    def jobs(self, rule: str | None = None) -> list[dict[str, str]]:
        """Slurm's records of this project's jobs, in the order in which they were submitted."""
        mine = [job for job in self.slurm.jobs() if Path(job["WorkDir"]) == self.folder]
        return sorted((job for job in mine if rule in (None, job["rule"])), key=lambda job: int(job["JobId"]))

    def active(self, *states: str, rule: str | None = None) -> list[dict[str, str]]:
        return [job for job in self.jobs(rule) if job["JobState"] in (states or ACTIVE)]

    def start_training(self, after_step: int = 4) -> subprocess.Popen:
        """Start the long run and stop its clock in the middle, so that what comes next finds it there."""
        driver = self.start(TRAINED)
        wait_until(lambda: self.saved_step() >= after_step, "a saved training state", PATIENCE)
        stopped = [process.suspend() for process in self.processes("train.py")]
        assert stopped, "it was over before it could be stopped"
        return driver

    def thaw(self) -> None:
        for process in self.processes("train.py"):
            process.resume()

    def processes(self, program: str = "") -> Iterator[psutil.Process]:
        """This project's jobs as the node sees them, or only those that run one of the programs."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = [Path(word).name for word in process.cmdline()[1:3]]
                if Path(process.cwd()) == self.folder and (not program or program in words):
                    yield process

    def lose_node(self) -> None:
        """The driver and all jobs end as on a machine that loses its power: none of them can tidy up."""
        self.kill_all(sparing=os.getpid())
        self.clear()

    def kill_all(self, sparing: int) -> None:
        while processes := [each for each in self.processes() if each.pid not in (sparing, os.getpid())]:
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(processes, 5)

    def saved_step(self) -> int:
        """The last step of the long run that is saved: all of them where it is finished."""
        for key in self.path(".state").glob("train/*/key.json"):
            if RUN in key.read_text():
                saved = [int(path.name[5:]) for path in key.parent.glob("steps-*/step-*")]
                return STEPS if (key.parent / "finished.json").exists() else max(saved, default=0)
        return 0

    def saved_pieces(self) -> dict[Path, int]:
        """When each shard of a teacher and each batch of answers that is saved was written."""
        pieces = [path for kind in ("shard-*", "batch-*") for path in self.path(".state").rglob(kind)]
        return {path: path.stat().st_mtime_ns for path in pieces}

    def training_began(self) -> dict[int, int]:
        """After which step each job of the long run began to train the last time, in order of their numbers."""
        found = {}
        for log in (self.folder / ".snakemake" / "slurm_logs" / "rule_train").glob("*_long/*.log"):
            attempt = log.read_text().rpartition(", Slurm job ")[2]
            if began := re.search(rf"train layerwise: .*\| (\d+)/{STEPS}", attempt):
                found[int(log.stem)] = int(began.group(1))
        return dict(sorted(found.items()))

    def resumed_at(self) -> int:
        """The step after which the last attempt of the long run began."""
        return list(self.training_began().values())[-1]

    def clear(self) -> None:
        """Cancel whatever is left of this project, so that it can't disturb the next."""
        if left := [job["JobId"] for job in self.active()]:
            self.slurm.run("scancel", *left, check=False)
            wait_until(lambda: not self.active(), "the end of all jobs")


def gpu_numbers(job: dict[str, str]) -> set[int]:
    """The GPUs of a node that a job has or had, as in `GRES=gpu:a100:2(IDX:0-1)`."""
    found = re.search(r"IDX:([\d,-]+)", job.get("GRES", ""))
    numbers: set[int] = set()
    for part in found.group(1).split(",") if found else []:
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers
