"""Dry runs: the jobs that a change makes stale."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from project import ROOT, Project, copy_of_workflow
from tiny import edited


@pytest.fixture
def reconfigured(finished: Project):
    """Plans of the finished study under another configuration."""
    original = finished.config

    def plan(**changes) -> Counter:
        finished.configure(edited(finished.config, **changes))
        return finished.planned("all")

    yield plan
    finished.configure(original)


@pytest.mark.parametrize("results", ["results/", "./results", "other/../results//"])
def test_a_folder_of_results_is_the_same_however_it_is_written(reconfigured, results: str):
    assert reconfigured(results=results) == Counter()


def test_results_in_the_home_folder(finished: Project, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    project = Project(tmp_path / "study", finished.config | {"results": "~/results"})
    assert project.planned(f"{tmp_path}/home/results/summary.json")["aggregate"] == 1
    project.run(f"{tmp_path}/home/results/data/problems/train.jsonl")
    assert (tmp_path / "home" / "results" / "data" / "problems" / "train.jsonl").is_file()
    assert not list((tmp_path / "study").glob("~*"))


DRAWING = {"plot_main_comparison", "plot_accuracy_curve", "plot_lambda_sweep", "plot_loss_curves", "plot_icl_gap"}
DRAWING |= {"plot_learning_rate"}


def test_restyled_figures_are_redrawn_and_nothing_else(reconfigured):
    assert set(reconfigured(plots={"dpi": 120})) == DRAWING | {"write_analysis", "write_report", "all"}


def test_new_label_trains_nothing(reconfigured):
    plan = reconfigured(conditions__sft={"label": "Plain"})
    assert not {"train", "eval_checkpoint", "score"} & set(plan)


def test_another_metric_generates_nothing_again(reconfigured):
    plan = reconfigured(metric="flexible")
    assert plan["score"] == 4 and not {"train", "eval_checkpoint", "baseline"} & set(plan)


def test_another_lambda_trains_one_run(reconfigured):
    grid = {"models": ["tiny"], "conditions": ["layerwise"], "schedules": ["short"], "lambdas": [0.1, 0.5, 2]}
    plan = reconfigured(studies__sweep=grid)
    assert (plan["train"], plan["eval_checkpoint"]) == (1, 1) and "precompute_activations" not in plan


def test_settings_without_influence_rerun_nothing(reconfigured, finished: Project):
    placed = {"gpus": {"teacher": 2, "train": 2, "evaluate": 2}, "gradient_checkpointing": True}
    placed["accelerate"] = str(ROOT / "envs" / "accelerate-fsdp.yaml")
    model = finished.config["models"]["tiny"] | placed
    assert not reconfigured(trackers=[], save_state_every=7, server={"concurrency": 3}, models__tiny=model)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first", ["baselines/tiny/zeroshot/first6/predictions.parquet", "teachers/tiny/fewshot/question/signal.json"]
)
def test_what_comes_first_and_is_torn_hides_nothing_that_is_missing(finished: Project, tmp_path: Path, first: str):
    """Snakemake itself forgets what depends on an `ancient` file that is made again."""
    torn = Project(tmp_path, finished.config).take(finished)
    shutil.rmtree(torn.path("runs", "tiny", "layerwise"))
    shutil.rmtree(torn.path("teachers", "tiny", "fewshot")) if first.startswith("baselines") else None
    torn.tear([f"results/{first}"])
    plan = torn.planned("eval_layerwise_0.5_tiny")
    assert (plan["train"], plan["eval_checkpoint"], plan["score"]) == (1, 1, 1)
    # With the training done and its answers missing.
    torn.run("train_layerwise_0.5_tiny")
    torn.tear([f"results/{first}"])
    assert "100%" in torn.run("eval_layerwise_0.5_tiny")
    assert not torn.planned("eval_layerwise_0.5_tiny")


def test_phase_zero_is_an_order_and_not_data(reconfigured):
    gap = {"models": ["tiny"], "shots": [0, 4], "questions": 8}
    plan = reconfigured(icl_gap__phase0=gap)
    assert plan["baseline"] == 2 and not {"precompute_activations", "train"} & set(plan)


def test_what_changes_both_phase_zero_and_targets_reruns_both(reconfigured):
    """Also what comes behind an order, which Snakemake itself doesn't look at."""
    plan = reconfigured(precision="bf16")
    jobs = {"precompute_activations": 1, "precompute_logits": 1, "audit_signal": 1, "train": 4, "eval_checkpoint": 4}
    assert plan["baseline"] and {rule: plan[rule] for rule in jobs} == jobs


@pytest.mark.parametrize(
    ("file", "old", "new", "rerun"),
    [
        ("student/trainer.py", "class Trainer:", "# a comment\n\nclass Trainer:", {}),
        ("student/losses/hidden_states/layerwise.py", "squared.sum(1)", "2 * squared.sum(1)", {"train": 2}),
        ("student/losses/logits/forward_kl.py", "temperature**2", "temperature", {"train": 1}),
        ("student/trainer.py", "self.optimizer.zero_grad()", "self.optimizer.zero_grad(True)", {"train": 4}),
        ("teacher/signal.py", "SHARD_ROWS = 64", "SHARD_ROWS = 32", {"audit_signal": 1}),  # an order, not data
        ("tasks/rules/number_grammar.py", "_MOST_CHARACTERS = 400", "_MOST_CHARACTERS = 300", {"score": 4}),
        ("analysis/figures/lambda_sweep.py", "linewidth=1.2", "linewidth=1.3", {"plot_lambda_sweep": 1}),
    ],
)
def test_edited_code_reruns_what_depends_on_it(finished: Project, tmp_path, file, old, new, rerun):
    source = copy_of_workflow(tmp_path / "workflow")
    path = source / "scripts" / "fewshot_distillation" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    plan = Project(finished.folder, finished.config, source).planned("all")
    for rule in ("train", "score", "plot_lambda_sweep", "baseline", "precompute_activations", "audit_signal"):
        if rule in rerun:
            assert plan[rule] == rerun[rule]
    if "train" not in rerun:
        assert not {"train", "eval_checkpoint", "baseline", "precompute_activations"} & set(plan)
    if not rerun:
        assert not plan


def test_results_of_another_version_can_be_accepted(finished: Project, tmp_path: Path):
    """As docs/reruns.md says; notes of how they were made stay."""
    accepting = Project(shutil.copytree(finished.folder, tmp_path / "study"), finished.config)
    accepting.source = copy_of_workflow(tmp_path / "workflow")
    loss = accepting.source / "scripts" / "fewshot_distillation" / "student/losses/hidden_states/layerwise.py"
    loss.write_text(loss.read_text().replace("squared.sum(1)", "2 * squared.sum(1)", 1))
    assert accepting.planned("all")["train"] == 2
    kept = ("runs/**/*.safetensors", "runs/**/*.parquet", "runs/**/*.job.json")
    made = accepting.digests(*kept)
    accepting.run("--touch", "all")
    assert not accepting.planned("all") and accepting.digests(*kept) == made


def test_a_forced_rule_reruns_with_what_follows_and_nothing_before(finished: Project):
    target = "results/runs/tiny/layerwise/lambda0.5/seed42/short/accuracy.csv"
    assert not finished.planned(target)
    assert finished.planned("--forcerun", "train", "--", target) == Counter(train=1, eval_checkpoint=1, score=1)


def test_another_model_reruns_nothing_of_the_first(reconfigured, finished: Project):
    grid = finished.config["studies"]["main"] | {"models": ["tiny", "other"]}
    plan = reconfigured(models__other=finished.config["models"]["tiny"], studies__main=grid)
    assert (plan["fetch_model"], plan["precompute_activations"], plan["precompute_logits"]) == (1, 1, 1)
    assert (plan["train"], plan["eval_checkpoint"], plan["baseline"]) == (3, 3, 2)
    assert "summarise_icl_gap" not in plan and "fetch_dataset" not in plan
