"""A small version of the published study: its own configuration, data and tokenizer, a random model of two layers."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from transformers import AutoTokenizer

import warm
from project import ROOT
from tiny import make_model

DATA = ROOT.parent / "shared" / "data"
OVERLAY = ROOT / "profiles" / "rehearsal" / "rehearsal.yaml"
MODELS = ("qwen3-1.7b", "qwen3-4b-instruct", "qwen3-8b")
TRAINED = {"qwen3-1.7b": 8, "qwen3-8b": 5}
FIGURES = ("main_comparison", "accuracy_curve", "loss_curves", "learning_rate")
# Phase 0 twice with three models and three numbers of shots; two models with base, A, B, C, D; four λ and B; 16
# checkpoints of each model.
ROWS = {"icl_gap": 2 * 3 * 3, "main_comparison": 2 * 5, "lambda_sweep": 5, "checkpoint_curve": 16 + 16}
ROWS |= {"comparisons": 2 * 2, "seeds": 16 + 16}

pytestmark = pytest.mark.slow


class Rehearsal:
    """A working folder, and what makes the rehearsal need no network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        files = {split: str(DATA / "gsm8k" / f"{split}.jsonl") for split in ("train", "test")}
        tokenizer = DATA / "qwen3-tokenizer"
        if not tokenizer.exists() or not all(Path(path).exists() for path in files.values()):
            pytest.skip("GSM8K and the Qwen3 tokenizer are not beside this checkout")
        model = make_model(folder / "model", tokenizer=AutoTokenizer.from_pretrained(tokenizer))
        sources = {
            "precision": "fp32",
            # Nearly all of the time is that of losses over Qwen3's vocabulary.
            "training": {"default": {"effective_batch_size": 4}},
            "datasets": {"gsm8k": {"source": {"hub": None, "name": None, "revision": None, "files": files}}},
            "models": {name: {"source": {"hub": None, "revision": None, "files": str(model)}} for name in MODELS},
        }
        self.overlay = folder / "sources.yaml"
        self.overlay.write_text(yaml.safe_dump(sources))

    def snakemake(self, *arguments: str) -> str:
        overlays = ("--configfile", str(OVERLAY), str(self.overlay))
        fixed = ("-s", str(ROOT / "Snakefile"), "--directory", str(self.folder), "--cores", "2", "--nolock")
        return warm.snakemake(*fixed, *arguments, *overlays, folder=self.folder, seconds=3600)

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath("results_rehearsal", *parts)


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory) -> Rehearsal:
    rehearsal = Rehearsal(tmp_path_factory.mktemp("rehearsal"))
    rehearsal.plan = rehearsal.snakemake("-n", "all")
    rehearsal.snakemake("all")
    return rehearsal


def test_the_plan_was_carried_out(rehearsal: Rehearsal):
    planned = int(re.search(r"\ntrain +(\d+)\n", rehearsal.plan).group(1))
    runs = [path.parent.parent for path in rehearsal.path("runs").rglob("checkpoints/manifest.json")]
    assert len(runs) == planned == sum(TRAINED.values())
    for model, count in TRAINED.items():
        assert sum(model in run.parts for run in runs) == count
    for run in runs:
        metrics = pd.read_csv(run / "metrics.csv")
        every_step = metrics[[name for name in metrics if not name.startswith("grad_") or name == "grad_norm"]]
        assert len(metrics) == 4 and every_step.notna().all(axis=None)
        assert json.loads((run / "checkpoints" / "manifest.json").read_text())["examples"] == 32
    assert "Nothing to be done" in rehearsal.snakemake("-n", "all")


def test_every_figure_and_table_is_there(rehearsal: Rehearsal):
    names = [f"{model}/{figure}" for model in TRAINED for figure in FIGURES]
    names += ["qwen3-1.7b/lambda_sweep", "icl_gap_phase0", "icl_gap_phase0_full"]
    for name in names:
        for ending in ("png", "pdf"):
            assert rehearsal.path("figures", f"{name}.{ending}").stat().st_size > 5000, name
    tables = {path.stem: pd.read_csv(path) for path in rehearsal.path("tables").glob("*.csv")}
    published = tables.pop("published_vs_measured")
    assert {name: len(table) for name, table in tables.items()} == ROWS
    assert 0 < published["measured"].notna().sum() < len(published), "trained accuracies are those of other steps"
    text = rehearsal.path("analysis.md").read_text()
    assert all(f"(figures/{name}.png)" in text for name in names)


def test_the_real_prompts_were_used(rehearsal: Rehearsal):
    for model in TRAINED:
        folder = rehearsal.path("teachers", model, "fewshot", "question")
        meta = json.loads((folder / "meta.json").read_text())
        assert meta["examples"] == 32 and 1500 < meta["prompt_tokens"]["mean"] < 1750
        assert meta["positions"]["question_end"]["token"] == "\n"
    predictions = pd.read_parquet(rehearsal.path("baselines", "qwen3-8b", "fewshot", "all", "predictions.parquet"))
    assert len(predictions) == 6 and predictions["prompt_tokens"].min() > 1000
