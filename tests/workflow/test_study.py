"""The whole study on a tiny model: what it leaves behind, and what a second call does."""

import json

import pandas as pd
import pytest
from safetensors import safe_open

from fewshot_distillation.analysis.conditions_section import ONE_SEED_EACH
from fewshot_distillation.analysis.wording import ONE_SEED
from project import Project

FIGURES = ("main_comparison", "accuracy_curve", "lambda_sweep", "loss_curves", "learning_rate")


def test_every_figure_and_table_is_there(finished: Project):
    for figure in FIGURES:
        for ending in ("png", "pdf"):
            assert finished.path("figures", "tiny", f"{figure}.{ending}").stat().st_size > 5000
    assert finished.path("figures", "icl_gap_phase0.png").exists()
    curve = pd.read_csv(finished.path("tables", "checkpoint_curve.csv"))
    assert len(curve) == 4 * 2
    assert set(curve["lambda"]) == {0.0, 0.1, 0.5}
    sweep = pd.read_csv(finished.path("tables", "lambda_sweep.csv"))
    assert sorted(sweep["lambda"]) == [0.0, 0.1, 0.5]
    main = pd.read_csv(finished.path("tables", "main_comparison.csv"))
    assert list(main["label"]) == ["Base · 0-shot", "A · 4-shot", "B · SFT", "C", "D"]
    assert list(main.loc[main["vs_plain_difference"].notna(), "label"]) == ["C", "D"], "compared with plain fine-tuning"


def test_summary_and_analysis_agree(finished: Project):
    summary = json.loads(finished.path("summary.json").read_text())
    text = finished.path("analysis.md").read_text()
    for row in summary["main_comparison"]:
        assert f"| {row['correct']} of {row['answers']} |" in text
    assert [row["label"] for row in summary["comparisons"]] == ["C", "D"]
    for row in summary["comparisons"]:
        assert f"**{row['label']} against {row['against']}**: {row['text'].removesuffix(ONE_SEED).rstrip()}" in text
    assert text.count(ONE_SEED_EACH) == 1 and ONE_SEED not in text, "what all comparisons have in common is said once"
    for figure in FIGURES:
        assert f"(figures/tiny/{figure}.png)" in text


def test_caches_have_the_documented_shape(finished: Project):
    folder = finished.path("teachers", "tiny", "fewshot", "question")
    with safe_open(folder / "activations.safetensors", framework="pt") as file:
        for position in ("question_end", "prompt_end"):
            part = file.get_slice(position)
            assert (part.get_shape(), part.get_dtype()) == ([24, 2, 32], "F16")
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["examples"] == 24 and meta["truncated"] == 0


def test_predictions_keep_every_generation(finished: Project):
    predictions = pd.read_parquet(
        finished.path("runs", "tiny", "sft", "lambda0", "seed42", "short", "predictions.parquet")
    )
    assert len(predictions) == 2 * 10
    assert predictions["tokens"].max() <= 8
    assert set(predictions["finish_reason"]) <= {"stop", "length"}


def test_a_second_call_has_nothing_to_do(finished: Project, study: Project):
    assert not finished.planned("all")
    assert "Nothing to be done" in finished.run("-n", "all", fresh=True), "a Snakemake that is forked says the same"
    assert not study.path(".state").exists(), "finished work is cleared away"


@pytest.mark.parametrize("rule", ["train", "eval_checkpoint", "precompute_activations"])
def test_every_job_leaves_a_log_and_a_record(finished: Project, rule: str):
    logs = list(finished.path("logs", rule).rglob("*.log"))
    assert logs and all("--spec" in log.read_text() for log in logs)
    records = {
        "train": "runs/**/metrics.csv.job.json",
        "eval_checkpoint": "runs/**/predictions.parquet.job.json",
        "precompute_activations": "teachers/**/*.job.json",
    }
    for record in finished.path().glob(records[rule]):
        assert json.loads(record.read_text())["versions"]["torch"]


def test_teacher_logits_are_those_of_the_model(finished: Project):
    """The cache against the model itself, through the fetched files alone."""
    import torch
    from transformers import AutoModelForCausalLM

    from fewshot_distillation.config.specs import ActivationsSpec
    from fewshot_distillation.data.prompts import PromptBuilder
    from fewshot_distillation.data.rows import read_jsonl
    from fewshot_distillation.teacher.activations import teacher_sequences

    model_folder = finished.path("models", "tiny")
    folder = finished.path("teachers", "tiny", "fewshot", "question")
    record = json.loads((folder / "activations.safetensors.job.json").read_text())
    builder = PromptBuilder.of_model(model_folder, {"enable_thinking": False})
    prompts = teacher_sequences(
        ActivationsSpec.model_validate(record["spec"]), builder, read_jsonl(finished.path("data/problems/train.jsonl"))
    )
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
    with safe_open(folder / "logits.safetensors", framework="pt") as file, torch.no_grad():
        for row in (0, 23):
            logits = model(torch.tensor([prompts[row].ids])).logits[0]
            for position in ("question_end", "prompt_end"):
                expected = logits[prompts[row].span(position)[0]].topk(32)
                values = file.get_tensor(f"{position}.max")[row] - file.get_tensor(f"{position}.below")[row].float()
                torch.testing.assert_close(values, expected.values, atol=2e-3, rtol=2e-3)
