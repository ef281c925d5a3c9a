"""The whole study through `snakemake --profile slurm`, by Slurm's own records."""

import copy
import itertools
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from faults import EARLIER, WANTED
from project import HALF_A_FILE, ROOT, Project
from study import PROFILE, ClusterProject, gpu_numbers

TEACHER_RULES = {"precompute_activations", "precompute_logits", "audit_signal"}
GPU_RULES = TEACHER_RULES | {"baseline", "train", "eval_checkpoint"}
CPU_RULES = {
    "score",
    "score_baseline",
    "summarise_icl_gap",
    "aggregate",
    "write_analysis",
    "write_report",
}
REQUESTED = {"baseline": 2, "eval_checkpoint": 2}  # of the tiny model's `gpus`; otherwise 1


def minutes(limit: str) -> int:
    """Slurm's [days-]hours:minutes:seconds."""
    days, _, clock = limit.rpartition("-")
    hours, minutes, _ = map(int, clock.split(":"))
    return (int(days or 0) * 24 + hours) * 60 + minutes


def megabytes(memory: str) -> float:
    return float(memory[:-1]) * {"M": 1, "G": 1024}[memory[-1]]


def test_every_job_got_what_the_profile_says(on_cluster: ClusterProject):
    profile = yaml.safe_load(PROFILE.read_text())
    jobs = on_cluster.jobs()
    assert {job["rule"] for job in jobs} >= GPU_RULES | CPU_RULES
    assert not [job for job in jobs if job["rule"].startswith("fetch_")], "fetched where the command was typed"
    for job in jobs:
        rule = job["rule"]
        assert job["JobState"] == "COMPLETED" and job["NumNodes"] == "1"
        wanted = profile["default-resources"] | profile["set-resources"].get(rule, {})
        assert int(job["CPUs/Task"]) == profile["set-threads"].get(rule, 1)
        # `attempt` is 1.
        assert megabytes(job["MinMemoryNode"]) == eval(str(wanted["mem_mb"]), {"attempt": 1})
        assert minutes(job["TimeLimit"]) == eval(str(wanted["runtime"]), {"attempt": 1})
        gpus = f"gpu:a100:{REQUESTED.get(rule, 1)}" if rule in GPU_RULES else "(null)"
        assert (job["JOB_GRES"], job["Partition"]) == (gpus, "gpu" if rule in GPU_RULES else "cpu"), rule


def test_torn_files_in_place_of_every_output(on_cluster: ClusterProject, undisturbed: Project):
    """The cluster gives what one machine gives, whatever lay there before."""
    outputs = undisturbed.declared("metadata")
    assert len(outputs) > 50 and "results/analysis.md" in outputs
    everything = (*WANTED, *EARLIER, "tables/*.csv", "figures/**/*.png")
    assert on_cluster.digests(*everything) == undisturbed.digests(*everything)
    # A mark that something is done is touched, whatever it contains.
    written = [name for name in outputs if not name.endswith(".done")]
    assert not [name for name in written if (on_cluster.folder / name).read_bytes() == HALF_A_FILE]


def test_a_second_call_has_nothing_to_do(on_cluster: ClusterProject):
    assert not on_cluster.planned("all")
    assert not on_cluster.path(".state").exists()


@pytest.mark.parametrize("rule", sorted(GPU_RULES))
def test_logs_say_where_and_with_what_a_job_ran(on_cluster: ClusterProject, rule: str):
    (job, *_) = on_cluster.jobs(rule)
    logs = [log.read_text() for log in on_cluster.path("logs", rule).rglob("*.log")]
    assert logs
    for text in logs:
        command, surroundings, *_ = text.splitlines()
        assert "--spec" in command
        assert re.search(
            rf"on node \S+, Slurm job \d+, GPU numbers [\d,]+ \({REQUESTED.get(rule, 1)} requested\)", surroundings
        )
        assert "torch 2" in surroundings and "commit " in surroundings
    assert any(f"Slurm job {job['JobId']}," in text for text in logs)


def status_of(project: ClusterProject) -> str:
    """What `make status` says meanwhile."""
    command = [sys.executable, str(ROOT / "scripts" / "status.py"), "--results", "results"]
    return subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True).stdout


def test_two_jobs_of_two_gpus_run_side_by_side_and_a_third_waits(project: ClusterProject, undisturbed: Project):
    project.take(undisturbed, "models", "data")
    asked = itertools.product(("zeroshot", "fewshot"), ("first6", "all"))
    wanted = [f"results/baselines/tiny/{prompt}/{questions}/predictions.parquet" for prompt, questions in asked]
    driver = project.start(*wanted)
    both_beside_a_third, handed_out = False, {}
    while driver.poll() is None:
        jobs = project.jobs()
        running = {job["JobId"]: gpu_numbers(job) for job in jobs if job["JobState"] == "RUNNING"}
        handed_out |= {number: gpus for number, gpus in running.items() if gpus}
        running = [gpus for gpus in running.values() if gpus]
        assert all(len(numbers) == 2 for numbers in running)
        assert all(not a & b for a, b in itertools.combinations(running, 2))
        waiting = [job for job in jobs if job["JobState"] == "PENDING" and job["Reason"] == "Resources"]
        if not both_beside_a_third and len(running) == 2 and len(waiting) == 1:
            both_beside_a_third, status = True, status_of(project)
        time.sleep(0.2)
    assert driver.returncode == 0 and both_beside_a_third
    assert "A driver is running: " in status and status.count("\n  baseline tiny ") == 2
    assert re.search(r"In Slurm's queue: [12] PENDING", status), "the fourth may have been submitted meanwhile"
    seen = [log.read_text() for log in project.path("logs", "baseline").rglob("*.log")]
    found = [re.search(r"Slurm job (\d+), GPU numbers ([\d,]+) \(2 requested\)", text).groups() for text in seen]
    # What CUDA_VISIBLE_DEVICES said is what Slurm handed out, and that was disjoint.
    assert {number: set(map(int, gpus.split(","))) for number, gpus in found} == handed_out and len(handed_out) == 4


def test_training_in_two_processes_on_two_gpus(project: ClusterProject, undisturbed: Project):
    """More GPUs start more processes, and nothing that is finished becomes stale."""
    project.take(undisturbed, "models", "data", "baselines", "icl_gap")
    config = copy.deepcopy(project.config)
    config["models"]["tiny"]["gpus"]["train"] = 2
    project.configure(config)
    project.run("train_sft_0_tiny")
    (job,) = project.jobs("train")
    assert (job["JobState"], job["JOB_GRES"]) == ("COMPLETED", "gpu:a100:2")
    (log,) = project.path("logs", "train").rglob("*.log")
    assert re.search(r"GPU numbers \d,\d \(2 requested\)", log.read_text())
    project.configure(undisturbed.config)
    assert not project.planned("train_sft_0_tiny")


def test_a_site_that_knows_gpus_only_as_gres(project: ClusterProject, undisturbed: Project):
    """The three lines that the profile says to change, and the job still gets and checks its GPUs."""
    lines = {"# site: gpu: 0": "gpu: 0", "# site: gres: gpu:a100:1": "gres: gpu:a100:2", "gpu_model: a100": "nodes: 1"}
    project.use_profile(lines)
    project.take(undisturbed, "models", "data")
    project.run("results/baselines/tiny/zeroshot/all/predictions.parquet")
    (job,) = project.jobs("baseline")
    assert (job["JobState"], job["TresPerNode"]) == ("COMPLETED", "gres:gpu:a100:2")
    (log,) = project.path("logs", "baseline").rglob("*.log")
    assert re.search(r"GPU numbers \d,\d \(2 requested\)", log.read_text())


def test_a_job_that_gets_fewer_gpus_than_requested_says_so(project: ClusterProject, undisturbed: Project):
    project.use_profile({"gpu_model: a100": "gpu: 1", "retries: 2": "retries: 0"})
    project.take(undisturbed, "models", "data")
    output = project.run("results/baselines/tiny/zeroshot/all/predictions.parquet", check=False)
    assert "error: requested 2 GPUs, sees " in output, "its last lines are in the driver's message"
    assert "slurm_partition" in output


def test_the_profile_makes_nothing_stale(project: ClusterProject, undisturbed: Project):
    """What reruns is decided by what jobs compute, not by where they ran."""
    project.take(undisturbed)
    assert not project.planned("all")


def test_the_plain_command_finds_the_profile(tmp_path: Path):
    """In a fresh clone, and as a workflow profile; nothing is submitted."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    for option in ("--profile", "--workflow-profile"):
        command = [sys.executable, "-m", "snakemake", option, "slurm", "-n", "all"]
        done = subprocess.run(command, cwd=tmp_path / "clone", capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert re.search(r"\ntrain +\d+\n", done.stdout + done.stderr)
    assert (tmp_path / "clone" / "slurm").resolve() == tmp_path / "clone" / "profiles" / "slurm"
