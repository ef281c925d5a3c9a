"""A study of a few seconds on a cluster, through the profile that users get."""

import copy
import re
import sys
from pathlib import Path

from project import ROOT, Project, kill_group, tiny_config
from slurm import Slurm, wait_until

HERE = Path(__file__).resolve().parent
PROFILE = ROOT / "profiles" / "slurm" / "config.yaml"

# What a site fills in, and nothing else; not waiting long is for the tests' sake.
SITE = {
    "# site: slurm_partition: cpu": "slurm_partition: cpu",
    "# site: slurm_partition: gpu": "slurm_partition: gpu",
    "latency-wait: 60": "latency-wait: 10",
}


def cluster_config(model: Path) -> dict:
    """All conditions, a λ sweep and phase 0; evaluation reserves two GPUs, of which a node has four."""
    config = copy.deepcopy(tiny_config(model))
    config["models"]["tiny"]["gpus"] = {"evaluate": 2}
    return config


class ClusterProject(Project):
    """A working folder with a configuration and the profile as `./slurm`."""

    def __init__(self, folder: Path, config: dict, slurm: Slurm, source: Path = ROOT, **changes: str) -> None:
        super().__init__(folder, config, source)
        self.slurm = slurm
        self.use_profile(changes)

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

    def running(self, rule: str) -> list[dict[str, str]]:
        return [job for job in self.jobs(rule) if job["JobState"] == "RUNNING"]

    def clear(self) -> None:
        """Cancel whatever is left of this project, so that it can't disturb the next."""
        left = [job["JobId"] for job in self.jobs() if job["JobState"] in ("RUNNING", "PENDING", "COMPLETING")]
        if left:
            self.slurm.run("scancel", *left, check=False)
            states = ("RUNNING", "PENDING", "COMPLETING")
            wait_until(lambda: not [j for j in self.jobs() if j["JobState"] in states], "the end of all jobs")


def gpu_numbers(job: dict[str, str]) -> set[int]:
    """The GPUs of a node that a job has or had, as in `GRES=gpu:a100:2(IDX:0-1)`."""
    found = re.search(r"IDX:([\d,-]+)", job.get("GRES", ""))
    numbers: set[int] = set()
    for part in found.group(1).split(",") if found else []:
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


__all__ = ["ClusterProject", "cluster_config", "gpu_numbers", "kill_group"]
