"""Dry runs: what a target needs, and what a change makes stale."""

import copy
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from project import ROOT, Project, copy_of_workflow


def test_named_target_needs_only_its_run(finished: Project, tmp_path):
    fresh = Project(tmp_path, finished.config)
    plan = fresh.planned("train_layerwise_0.5_tiny")
    assert plan == Counter(
        fetch_model=1, fetch_dataset=1, icl_gap=1, precompute_activations=1, train=1, **{"train_layerwise_0.5_tiny": 1}
    )
    assert fresh.planned("eval_sft_0_tiny")["eval_checkpoint"] == 1


def test_one_figure_needs_only_what_it_shows(finished: Project, tmp_path):
    plan = Project(tmp_path, finished.config).planned("results/figures/tiny/lambda_sweep.png")
    assert plan["train"] == 3, "two λ and plain fine-tuning"
    assert "precompute_logits" not in plan and "aggregate" not in plan and "baseline" not in plan


def test_rule_graph_reads_like_the_study(finished: Project):
    graph = finished.run("all", "--rulegraph")
    names = dict(line.strip().split("[label = ")[::1] for line in graph.splitlines() if "label = " in line)
    names = {number: label.split('"')[1] for number, label in names.items()}
    edges = {
        (names[a.strip()], names[b.strip()])
        for a, b in (line.strip(" \t;").split("->") for line in graph.splitlines() if "->" in line)
    }
    chain = ["icl_gap", "precompute_activations", "precompute_logits", "train", "eval_checkpoint", "score", "aggregate"]
    assert set(zip(chain, chain[1:], strict=False)) <= edges
    assert ("score", "plot_accuracy_curve") in edges


def snakemake(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "snakemake", *arguments], cwd=ROOT, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def test_default_configuration_plans_the_published_study(tmp_path):
    # 1.7B: B, C, D, three more λ, B and C early; 8B: B, C, D and B, C early.
    assert re.search(r"\ntrain +13\n", snakemake("--directory", str(tmp_path), "-n", "all"))


def changed(project: Project, **changes) -> dict:
    config = copy.deepcopy(project.config)
    for path, value in changes.items():
        *parents, key = path.split("__")
        place = config
        for parent in parents:
            place = place.setdefault(parent, {})
        place[key] = value
    return config


@pytest.fixture
def reconfigured(finished: Project):
    """Plans of the finished study under another configuration."""
    original = finished.config

    def plan(**changes) -> Counter:
        finished.configure(changed(finished, **changes))
        return finished.planned("all")

    yield plan
    finished.configure(original)


DRAWING = {"plot_main_comparison", "plot_accuracy_curve", "plot_lambda_sweep", "plot_loss_curves", "plot_icl_gap"}


def test_restyled_figures_are_redrawn_and_nothing_else(reconfigured):
    assert set(reconfigured(plots={"dpi": 120})) == DRAWING | {"write_analysis", "all"}


def test_new_label_trains_nothing(reconfigured):
    plan = reconfigured(conditions__sft={"label": "Plain"})
    assert not {"train", "eval_checkpoint", "score"} & set(plan)


def test_another_metric_generates_nothing_again(reconfigured):
    plan = reconfigured(metric="flexible")
    assert plan["score"] == 4 and not {"train", "eval_checkpoint", "baseline", "icl_gap"} & set(plan)


def test_another_lambda_trains_one_run(reconfigured):
    grid = {"models": ["tiny"], "conditions": ["layerwise"], "schedules": ["short"], "lambdas": [0.1, 0.5, 2]}
    plan = reconfigured(studies__sweep=grid)
    assert (plan["train"], plan["eval_checkpoint"]) == (1, 1) and "precompute_activations" not in plan


def test_settings_without_influence_rerun_nothing(reconfigured, finished: Project):
    gpus = finished.config["models"]["tiny"] | {"gpus": {"train": 2}}
    assert not reconfigured(trackers=[], save_state_every=7, models__tiny=gpus)


def test_phase_zero_is_an_order_and_not_data(reconfigured):
    gap = {"models": ["tiny"], "shots": [0, 4], "questions": 8}
    plan = reconfigured(icl_gap__phase0=gap)
    assert plan["icl_gap"] == 1 and not {"precompute_activations", "train"} & set(plan)


@pytest.mark.parametrize(
    ("file", "old", "new", "rerun"),
    [
        ("student/trainer.py", "class Trainer:", "# a comment\n\nclass Trainer:", {}),
        ("student/losses/layerwise.py", "squared.sum(1)", "2 * squared.sum(1)", {"train": 2}),
        ("student/losses/forward_kl.py", "t * t *", "t *", {"train": 1}),
        ("student/trainer.py", "self.optimizer.zero_grad()", "self.optimizer.zero_grad(True)", {"train": 4}),
        ("evaluation/answers.py", "number /= Decimal(divisor)", "number = number / Decimal(divisor)", {"score": 4}),
        ("analysis/figures/lambda_sweep.py", "capsize=3", "capsize=4", {"plot_lambda_sweep": 1}),
    ],
)
def test_edited_code_reruns_what_depends_on_it(finished: Project, tmp_path, file, old, new, rerun):
    source = copy_of_workflow(tmp_path / "workflow")
    path = source / "scripts" / "fewshot_distillation" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    plan = Project(finished.folder, finished.config, source).planned("all")
    for rule in ("train", "score", "plot_lambda_sweep", "icl_gap", "precompute_activations"):
        if rule in rerun:
            assert plan[rule] == rerun[rule]
    if "train" not in rerun:
        assert not {"train", "eval_checkpoint", "baseline", "icl_gap", "precompute_activations"} & set(plan)
    if not rerun:
        assert not plan


def test_workflow_lint_is_clean():
    snakemake("--lint")


def test_a_forced_rule_reruns_with_what_follows_and_nothing_before(finished: Project):
    target = "results/runs/tiny/layerwise/lambda0.5/seed42/short/accuracy.csv"
    assert not finished.planned(target)
    assert finished.planned("--forcerun", "train", "--", target) == Counter(train=1, eval_checkpoint=1, score=1)


def test_another_model_reruns_nothing_of_the_first(reconfigured, finished: Project):
    grid = finished.config["studies"]["main"] | {"models": ["tiny", "other"]}
    plan = reconfigured(models__other=finished.config["models"]["tiny"], studies__main=grid)
    assert (plan["fetch_model"], plan["precompute_activations"], plan["precompute_logits"]) == (1, 1, 1)
    assert (plan["train"], plan["eval_checkpoint"], plan["baseline"]) == (3, 3, 2)
    assert "icl_gap" not in plan and "fetch_dataset" not in plan


def test_targets_of_one_model_need_only_that_model(finished: Project, tmp_path):
    config = changed(finished, models__other=finished.config["models"]["tiny"])
    config["studies"]["main"]["models"] = ["tiny", "other"]
    fresh = Project(tmp_path, config)
    output = fresh.run("-n", "results/figures/other/main_comparison.png")
    assert "results/models/other/manifest.json" in output and "results/models/tiny" not in output
    assert "tiny" not in fresh.run("-n", "--quiet", "rules", "train_logit_kl_0.5_other").replace("/tiny-model", "")


def test_the_slurm_profile_changes_no_plan(finished: Project):
    """What reruns is decided by what jobs compute, not by where they run."""
    profile = str(ROOT / "profiles" / "slurm")
    pytest.importorskip("snakemake_executor_plugin_slurm")
    if shutil.which("sbatch") is None:
        pytest.skip("Slurm is not installed here")
    assert not finished.planned("all", "--workflow-profile", profile)
