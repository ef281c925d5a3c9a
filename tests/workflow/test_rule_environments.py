"""Every program finds what it imports in the environment that its rule declares, and needs nothing else."""

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from installed import brought_by
from project import ROOT, Project

# What a rule's program finds: the path finder of Python, which passes over what isn't in the environment.
LIMITED = """
import sys
from importlib.machinery import PathFinder

REFUSED = set({refused!r})

class Limited(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in REFUSED else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Limited
"""
RULES = {
    "analysis.yaml": ["score", "summarise_icl_gap", "aggregate", "plot_.*", "write_analysis", "write_report"],
    "study.yaml": [
        "fetch_model", "fetch_dataset", "baseline", "precompute_activations", "precompute_logits", "audit_signal",
        "train", "eval_checkpoint",
    ],
}  # fmt: skip


def installed_by(environment: str) -> set[str]:
    """The names of everything that comes with the pins of a conda file."""
    parts = yaml.safe_load((ROOT / "envs" / environment).read_text())["dependencies"]
    (pins,) = [part["pip"] for part in parts if isinstance(part, dict)]
    return set(brought_by(pins))


def commands(project: Project, rule: str) -> list[str]:
    """The commands that repeat the jobs of a rule, as their logs say."""
    logs = [
        log
        for log in project.path("logs").rglob("*.log")
        if re.match(rf"{rule}(/|\.)", log.relative_to(project.path("logs")).as_posix())
    ]
    return [log.read_text().splitlines()[0].partition(" ")[2] for log in sorted(logs)]


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["analysis.yaml", "study.yaml"])
def test_a_rule_needs_no_more_than_its_environment(environment: str, finished: Project, tmp_path: Path):
    there = installed_by(environment)
    modules = importlib.metadata.packages_distributions().items()
    refused = sorted(name for name, owners in modules if not there & {canonicalize_name(owner) for owner in owners})
    assert "snakemake" in refused and ("torch" in refused) == (environment == "analysis.yaml")
    (tmp_path / "sitecustomize.py").write_text(LIMITED.format(refused=refused))
    variables = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    folder = tmp_path / "study"
    shutil.copytree(finished.folder, folder)
    for rule in RULES[environment]:
        first, *_ = commands(finished, rule)
        done = subprocess.run(
            shlex.split(first), cwd=folder, env=variables, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{rule}: {done.stderr[-3000:]}"
