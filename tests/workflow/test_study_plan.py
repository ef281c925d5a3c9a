"""`snakemake plan`: the jobs that Snakemake would do, what is done of them, and nothing made on the way."""

import copy
import re
from collections import Counter
from pathlib import Path

import pytest

from project import ROOT, Project

pytestmark = pytest.mark.slow

HEAVY = ("baseline", "precompute_activations", "precompute_logits", "audit_signal", "train", "eval_checkpoint")


def lines(text: str) -> dict[str, list[str]]:
    """Cells of the printed table of jobs, by rule."""
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line[:1] == "|"]
    end = next(n for n, row in enumerate(rows) if row[0] == "together")
    return {row[0]: row[1:] for row in rows[: end + 1]}


def counts(text: str, column: int) -> Counter:
    found = lines(text)
    return Counter({rule: int(found[rule][column]) for rule in (*HEAVY, "fetch_model", "fetch_dataset", "together")})


def expected(planned: Counter) -> Counter:
    """The same of a dry run, which counts the target too."""
    chosen = {rule: planned[rule] for rule in (*HEAVY, "fetch_model", "fetch_dataset")}
    return Counter(chosen | {"together": planned.total() - planned["all"]})


def test_before_anything_runs(finished: Project, tmp_path: Path):
    fresh = Project(tmp_path, finished.config)
    text = fresh.run("plan")
    assert counts(text, 1) == expected(fresh.planned("all")) and counts(text, 2).total() == 0
    assert "for all layers at one position of each training question" in text
    assert not list((tmp_path / "results").rglob("*.safetensors")) and not (tmp_path / "results" / "data").exists()


def test_what_is_done(finished: Project, tmp_path: Path):
    """With the times that it took; a change of settings takes back what it makes stale."""
    text = finished.run("plan")
    assert counts(text, 2) == counts(text, 1) and re.search(r"\| train .* 0\.00 \| x [\d.]+ by 4 earlier", text)
    before, config = finished.config, copy.deepcopy(finished.config)
    config["training"]["default"]["learning_rate"] = 3e-4
    finished.configure(config)
    try:
        stale = finished.run("plan")
        done = counts(text, 1) - expected(finished.planned("all"))
    finally:
        finished.configure(before)
    assert lines(stale)["train"][2] == "0" and counts(stale, 2) == done


def test_the_plan_disturbs_no_driver(finished: Project, tmp_path: Path):
    """It is printed while another driver has the results folder."""
    project = Project(tmp_path, finished.config)
    working = project.start("all")
    try:
        assert "GPU-hours" in project.run("plan")
        assert working.poll() is None or working.returncode == 0
    finally:
        working.terminate()
        working.wait()


@pytest.mark.slow
def test_costs_in_the_documentation(tmp_path: Path):
    """The published study's costs in docs/cluster.md are those that the plan prints before anything is fetched."""
    project = Project(tmp_path, {})
    (tmp_path / "workflow_config.yaml").unlink()
    table = [line for line in project.run("plan").splitlines() if line[:1] == "|"]
    documented = (ROOT / "docs" / "cluster.md").read_text().splitlines()
    assert [line for line in table if line not in documented] == []
