"""Another workflow uses this one as a module, with its own configuration and results folder."""

import subprocess
import sys
from pathlib import Path

import yaml

from project import ROOT, tiny_config

SNAKEFILE = f"""
configfile: "mine.yaml"

module study:
    snakefile: {str(ROOT / "Snakefile")!r}
    config: config["study"]

use rule * from study as study_*

rule report_on_it:
    default_target: True
    input: "elsewhere/out/runs/tiny/sft/lambda0/seed42/short/accuracy.csv"
    output: "report.txt"
    shell: "wc -l {{input}} > {{output}}"
"""


def test_another_workflow_runs_this_one(tmp_path: Path, tiny_source: Path):
    study = tiny_config(tiny_source) | {"results": "elsewhere/out"}
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"study": study}))
    # The module has its configuration from the other workflow; this file is that workflow's own business.
    (tmp_path / "workflow_config.yaml").write_text("models: nothing of ours")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout + done.stderr

    run()
    assert (tmp_path / "report.txt").read_text().startswith("3 elsewhere/out/runs")
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "Snakefile", "elsewhere", "mine.yaml", "report.txt", "workflow_config.yaml",
    ]  # fmt: skip
    assert "Nothing to be done" in run()
    assert "study_precompute_activations" in run("-n", "study_train_layerwise_0.5_tiny")
