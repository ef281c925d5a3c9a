"""`snakemake status` beside a driver that is at work."""

import os

from fewshot_distillation.runtime.lock import Lock
from project import Project


def test_status_disturbs_nobody(finished: Project):
    lock = Lock(finished.path(".state", "driver.lease"))
    assert lock.acquire(wait=False)
    before = finished.digests("**/*.parquet", "**/*.csv", "**/*.html", ".state/**/*.json")
    try:
        output = finished.run("status", "--quiet", "all")
        assert f"A driver is running: process {os.getpid()}" in output
        assert "study main" in output and "study sweep" in output
        assert lock.held()
    finally:
        lock.release()
    assert finished.digests("**/*.parquet", "**/*.csv", "**/*.html", ".state/**/*.json") == before
    assert "Everything is done." in finished.run("status", "--quiet", "all")
    assert not finished.planned("all")
