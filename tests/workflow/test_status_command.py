"""`snakemake status` beside a driver that is at work."""

import os
from pathlib import Path

from fewshot_distillation.runtime.lock import Lock
from project import Project


def test_status_disturbs_nobody(finished: Project, tmp_path: Path):
    project = Project(tmp_path, finished.config).take(finished)
    lock = Lock(project.path(".state", "driver.lease"))
    assert lock.acquire(wait=False)
    before = project.digests("**/*.parquet", "**/*.csv", "**/*.html", ".state/**/*.json")
    try:
        output = project.run("status", "--quiet", "all")
        assert f"A driver is running: process {os.getpid()}" in output
        assert "study main" in output and "study sweep" in output
        assert lock.held()
    finally:
        lock.release()
    assert project.digests("**/*.parquet", "**/*.csv", "**/*.html", ".state/**/*.json") == before
    assert "Everything is done." in project.run("status", "--quiet", "all")
    assert not project.planned("all")
